/**
 * DATABASE_URL -> how pg connects. The one place that decides about TLS: pg by itself uses none unless told to, reads
 * PGSSLMODE behind the configuration's back, and takes sslmode=verify-ca for verify-full (pg-connection-string 2.14).
 */
import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { ClientConfig } from 'pg';

/** Paths as the URL has them; null = not given. */
interface TlsFiles {
  readonly certFile: string | null;
  readonly keyFile: string | null;
  /** libpq 17's sslnegotiation=direct: no plain byte before the handshake. */
  readonly direct: boolean;
}

export type PostgresTls =
  | { readonly kind: 'none'; readonly because: 'this machine' | 'asked' }
  /** caFile null = the authorities that Node trusts, and NODE_EXTRA_CA_CERTS. */
  | ({ readonly kind: 'verified'; readonly caFile: string | null; readonly checksName: boolean } & TlsFiles)
  | ({ readonly kind: 'unverified' } & TlsFiles)
  | { readonly kind: 'fault'; readonly wrong: string; readonly fix: string };

/** Everything of the URL that pg-connection-string would make TLS options of. */
const TLS_PARAMETERS: readonly string[] = [
  'ssl',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'sslnegotiation',
  'uselibpqcompat',
];
const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify'] as const;
type SslMode = (typeof SSL_MODES)[number];

/** pg's older way to say it. */
const SSL_WORDS: Readonly<Record<string, SslMode>> = {
  '0': 'disable',
  false: 'disable',
  '1': 'verify-full',
  true: 'verify-full',
  'no-verify': 'no-verify',
};

/** Pure: reads no file and no environment. The URL is one that config-reader.ts has found sound. */
export function tlsOf(url: string): PostgresTls {
  const { host, parameters } = partsOf(url);
  // As libpq: there is no TLS on a socket, whatever is asked for.
  if (host.startsWith('/')) return { kind: 'none', because: 'this machine' };
  const mode = modeOf(parameters);
  if (mode === null) {
    const fix = `use one of ${SSL_MODES.join(', ')}`;
    return { kind: 'fault', wrong: 'has an sslmode (or ssl) that is none', fix };
  }
  const asked = TLS_PARAMETERS.some((name) => parameters.get(name));
  if (!asked && isLoopback(host)) return { kind: 'none', because: 'this machine' };
  if (mode === 'disable') return { kind: 'none', because: isLoopback(host) ? 'this machine' : 'asked' };

  const negotiation = parameters.get('sslnegotiation') ?? 'postgres';
  if (negotiation !== 'postgres' && negotiation !== 'direct') {
    return { kind: 'fault', wrong: 'has an sslnegotiation that is none', fix: 'use postgres or direct' };
  }
  const [certFile, keyFile] = [parameters.get('sslcert') ?? null, parameters.get('sslkey') ?? null];
  if ((certFile === null) !== (keyFile === null)) {
    return { kind: 'fault', wrong: 'has one of sslcert and sslkey', fix: 'give both, or neither' };
  }
  const files = { certFile, keyFile, direct: negotiation === 'direct' };
  const root = parameters.get('sslrootcert') ?? null;
  const caFile = root === 'system' ? null : root;
  const compatible = parameters.get('uselibpqcompat') === 'true';
  if (mode === 'no-verify' || (compatible && (mode === 'prefer' || (mode === 'require' && caFile === null)))) {
    return { kind: 'unverified', ...files };
  }
  const anyName = mode === 'verify-ca' || (compatible && mode === 'require');
  if (anyName && caFile === null) {
    // Anybody has a certificate of a public authority, for a name of their own.
    return {
      kind: 'fault',
      wrong: 'has sslmode=verify-ca and no certificate authority',
      fix: "add sslrootcert with the path of the server's own authority, or use sslmode=verify-full",
    };
  }
  return { kind: 'verified', caFile, checksName: !anyName, ...files };
}

/** Null where a parameter is none of its words. allow, prefer and require are read as verify-full, as pg 8 reads them. */
function modeOf(parameters: ReadonlyMap<string, string>): SslMode | null {
  const mode = parameters.get('sslmode');
  if (mode !== undefined) return SSL_MODES.find((each) => each === mode) ?? null;
  const word = parameters.get('ssl');
  if (word === undefined) return 'verify-full';
  return Object.hasOwn(SSL_WORDS, word) ? (SSL_WORDS[word] ?? null) : null;
}

/** Of a repeated parameter pg takes the last; an empty one is as good as none. */
function partsOf(url: string): {
  readonly host: string;
  readonly port: string;
  readonly pathname: string;
  readonly parameters: ReadonlyMap<string, string>;
} {
  // user@/database is libpq's socket form, which URL does not take.
  const { hostname, port, pathname, searchParams } = new URL(url.replace('@/', '@socket/'));
  const parameters = new Map([...searchParams].filter(([, value]) => value !== ''));
  const named = parameters.get('host') ?? decoded(hostname);
  const host = named.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  return { host, port: parameters.get('port') ?? (port || '5432'), pathname, parameters };
}

/** As pg takes it: %2Fcloudsql%2F… is a socket. What cannot be decoded is no socket and no loopback. */
function decoded(hostname: string): string {
  try {
    return decodeURIComponent(hostname);
  } catch {
    return hostname;
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

export type PostgresConnection = Pick<ClientConfig, 'connectionString' | 'ssl' | 'sslnegotiation'>;

/** Reads the files that the URL names. `ssl` is always there: left out, pg would ask PGSSLMODE. */
export function connectionOf(url: string): PostgresConnection {
  const tls = tlsOf(url);
  if (tls.kind === 'fault') throw new TypeError(`DATABASE_URL ${tls.wrong}: ${tls.fix}`);
  const connectionString = withoutTls(url);
  if (tls.kind === 'none') return { connectionString, ssl: false, sslnegotiation: 'postgres' };
  const { certFile, keyFile, direct } = tls;
  return {
    connectionString,
    ssl: {
      // Said, not left to its default: NODE_TLS_REJECT_UNAUTHORIZED=0 would change that.
      rejectUnauthorized: tls.kind === 'verified',
      ...(tls.kind === 'verified' && tls.caFile !== null && { ca: readFileSync(tls.caFile, 'utf8') }),
      ...(tls.kind === 'verified' && !tls.checksName && { checkServerIdentity: () => undefined }),
      ...(certFile !== null && { cert: readFileSync(certFile, 'utf8') }),
      ...(keyFile !== null && { key: readFileSync(keyFile, 'utf8') }),
    },
    sslnegotiation: direct ? 'direct' : 'postgres',
  };
}

/** What pg finds in the URL wins over what it is given beside it, so the URL must not speak of TLS. */
function withoutTls(url: string): string {
  const [address = '', query] = url.split(/\?(.*)/s);
  if (query === undefined) return url;
  const kept = query.split('&').filter((part) => !TLS_PARAMETERS.includes(nameOf(part)));
  return kept.length === 0 ? address : `${address}?${kept.join('&')}`;
}

function nameOf(part: string): string {
  return [...new URLSearchParams(part).keys()][0] ?? '';
}

/** What is wrong with the files that the URL names, without a word of what is in them; null = nothing. */
export function tlsFileFault(url: string): { readonly wrong: string; readonly fix: string } | null {
  const tls = tlsOf(url);
  if (tls.kind === 'none' || tls.kind === 'fault') return null;
  const { ssl } = ((): Pick<ClientConfig, 'ssl'> => {
    try {
      return connectionOf(url);
    } catch {
      return {};
    }
  })();
  if (typeof ssl !== 'object') {
    const fix = 'correct their paths, and let this user read them';
    return { wrong: 'names an sslrootcert, sslcert or sslkey that cannot be read', fix };
  }
  if (typeof ssl.ca === 'string' && !ssl.ca.includes('-----BEGIN CERTIFICATE-----')) {
    return { wrong: 'names an sslrootcert that holds no certificate', fix: 'give a file in PEM form' };
  }
  try {
    createSecureContext({ ca: ssl.ca, cert: ssl.cert, key: ssl.key });
    return null;
  } catch {
    const fix = 'give PEM files, the key without a passphrase and belonging to the certificate';
    return { wrong: 'names an sslrootcert, sslcert or sslkey that is none', fix };
  }
}

/** For the log of a process that connects in a way that somebody could listen to; null = nothing to say. */
export function tlsWarning(url: string): string | null {
  const tls = tlsOf(url);
  if (tls.kind === 'none' && tls.because === 'asked') {
    return 'DATABASE_URL turns TLS off (sslmode=disable): whoever is on the way to the database can read and change everything; use sslmode=verify-full, or sslmode=verify-ca with sslrootcert';
  }
  if (tls.kind === 'unverified') {
    return 'DATABASE_URL has the certificate of the database unchecked: whoever is on the way to it can take its place; use sslmode=verify-full, or sslmode=verify-ca with sslrootcert';
  }
  return null;
}

/** For lines and messages: where, never who or with which password. */
export function placeOf(url: string): string {
  const { host, port, pathname } = partsOf(url);
  const at = host.startsWith('/') ? 'socket' : host.includes(':') ? `[${host}]` : host;
  return `${at}:${port}${pathname}`;
}

const OTHER_NAME = /^(ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH)$/;
const OUT_OF_DATE = /^(CERT_HAS_EXPIRED|CERT_NOT_YET_VALID)$/;
/** https://nodejs.org/api/tls.html#x509-certificate-error-codes */
const UNTRUSTED = /^(DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_CA|CERT_|PATH_LENGTH_EXCEEDED)/;
const NOT_AGREED = /^(ERR_SSL_|ERR_TLS_|EPROTO$)/;

/** One sentence for a connection that TLS, or its absence, has ended: what is wrong and how to mend it. Null = not that. */
export function tlsTrouble(error: unknown, place: string): string | null {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 10; cause = cause.cause, depth += 1) {
    const sentence = ofOne(cause, place);
    if (sentence !== null) return sentence;
  }
  return null;
}

function ofOne(error: Error, place: string): string | null {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (OTHER_NAME.test(code)) {
    return `the certificate of the database at ${place} is for another name (${code}): connect to it by the name in its certificate, or add sslmode=verify-ca&sslrootcert=FILE to DATABASE_URL where its authority is its own, as on Cloud SQL`;
  }
  if (OUT_OF_DATE.test(code)) {
    return `the certificate of the database at ${place} is out of date (${code}): renew it on the server, or set this machine's clock`;
  }
  if (UNTRUSTED.test(code)) {
    return `the certificate of the database at ${place} is not from an authority that is trusted here (${code}): add sslrootcert=FILE with that authority to DATABASE_URL, and sslmode=verify-ca where the name differs, as on Cloud SQL`;
  }
  if (NOT_AGREED.test(code)) {
    return `TLS with the database at ${place} was not agreed on (${code}): where it asks for a client certificate, add sslcert=FILE&sslkey=FILE to DATABASE_URL`;
  }
  // pg's own, without a code.
  if (error.message === 'The server does not support SSL connections') {
    return `the database at ${place} speaks no TLS: turn it on there (ssl = on), or add sslmode=disable to DATABASE_URL where the network itself is private`;
  }
  if (code === '28000' && error.message.endsWith('no encryption')) {
    return `the database at ${place} takes no connection without TLS: remove sslmode=disable from DATABASE_URL, or add sslmode=verify-full`;
  }
  if (code === '28000' && error.message.includes('client certificate')) {
    return `the database at ${place} asks for a client certificate: add sslcert=FILE&sslkey=FILE to DATABASE_URL`;
  }
  return null;
}
