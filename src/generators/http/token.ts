/** The signature of each call: a JWT that is good for a minute, for this provider and this request only. */
import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import type { HttpGeneratorConfig } from '../../config.ts';

/** Long enough for clocks that differ by some seconds; a token that leaks into a log is worth nothing soon. */
const LIFETIME_SECONDS = 60;
export const TOKEN_ISSUER = 'content-processor';

export function tokenSigner(config: HttpGeneratorConfig): (subject: string) => Promise<string> {
  const key = new TextEncoder().encode(config.secretKey);
  const audience = audienceOf(config.url);
  return (subject) => {
    const now = Math.floor(Date.now() / 1_000);
    return new SignJWT()
      .setProtectedHeader({ alg: config.algorithm, typ: 'JWT' })
      .setIssuer(TOKEN_ISSUER)
      .setAudience(audience)
      .setSubject(subject)
      .setJti(randomUUID())
      .setIssuedAt(now)
      .setExpirationTime(now + LIFETIME_SECONDS)
      .sign(key);
  };
}

/** GENERATOR_URL without what a proxy may add or drop: its query. */
export function audienceOf(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}
