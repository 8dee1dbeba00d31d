/**
 * What no wait mends: an answer of PostgreSQL or Temporal that refuses the worker's settings. Each function answers with
 * what to do, or null where nobody refuses and it may pass by itself.
 */
import { DatabaseError } from '../activities/db.ts';
import { isTlsRefused } from '../generators/network-errors.ts';

/** SQLSTATE: wrong user or password, no such database, no right. */
const DATABASE_REFUSES = /^(28...|3D000|42501)$/;
/** node-postgres says these without a code. */
const DATABASE_CANNOT = /client password must be a string|server does not support SSL/;

export function databaseRefusal(error: unknown): string | null {
  if (!(error instanceof DatabaseError)) return null;
  if (error.code === '3D000') return 'correct DATABASE_URL, or create the database and run: npm run migrate';
  if (DATABASE_REFUSES.test(error.code) || DATABASE_CANNOT.test(error.message)) {
    return "correct DATABASE_URL, or the role's rights";
  }
  return isTlsRefused(error.code) ? 'correct the certificate, or how DATABASE_URL asks for TLS' : null;
}

const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;
/**
 * A connection that Temporal's core could not make has no code, only words: tonic's for the gRPC status, rustls' for the
 * handshake. InvalidContentType = TLS towards a server that speaks none.
 */
const SAYS = {
  unauthenticated: /valid authentication credentials/,
  denied: /caller does not have permission/,
  notFound: /requested entity was not found/,
  tls: /InvalidCertificate|PrivateKeyParseError|CertificateParseError|AlertReceived|InvalidContentType/,
} as const;

export function temporalRefusal(error: unknown, namespace: string): string | null {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : null;
  const says = (words: RegExp): boolean => code === null && error instanceof Error && words.test(error.message);
  if (code === UNAUTHENTICATED || says(SAYS.unauthenticated)) {
    return 'check TEMPORAL_API_KEY, or TEMPORAL_TLS_CLIENT_CERT_* and _KEY_*';
  }
  if (code === PERMISSION_DENIED || says(SAYS.denied)) return `give this identity access to namespace ${namespace}`;
  if (code === NOT_FOUND || says(SAYS.notFound)) {
    return `correct TEMPORAL_NAMESPACE, or run: temporal operator namespace create --retention 720h --namespace ${namespace}`;
  }
  return says(SAYS.tls) ? 'check TEMPORAL_TLS, TEMPORAL_TLS_SERVER_CA_CERT_* and TEMPORAL_TLS_CLIENT_CERT_*' : null;
}

/** One line of what was said. Core's errors are Rust's debug output: of those the inmost words, or the name of the fault. */
export function inWords(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const quoted = [...text.matchAll(/\b(?:message|error|code): ["']([^"']+)["']/g)].map(([, words]) => words).at(-1);
  const [, fault] = /\berror: (\w+(?:\(\w+\))?)/.exec(text) ?? /Transport, (\w+)/.exec(text) ?? [];
  const inmost = error instanceof Error && error.name === 'TransportError' ? (quoted ?? fault) : undefined;
  return (inmost ?? text).replaceAll(/\s+/g, ' ').trim().slice(0, 300);
}
