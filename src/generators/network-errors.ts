/** What the code of a failed connection says: nobody there now, or nobody whom we would ever agree with. */

/** errno of Node, and undici's own: https://github.com/nodejs/undici/blob/main/docs/docs/api/Errors.md. */
const UNREACHABLE: readonly string[] = [
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_SOCKET',
];

/** TLS that will never be agreed on: https://nodejs.org/api/tls.html#x509-certificate-error-codes and OpenSSL's own. */
const TLS_REFUSED =
  /^(CERT_|ERR_TLS_|ERR_SSL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_CA|HOSTNAME_MISMATCH|PATH_LENGTH_EXCEEDED|EPROTO$)/;

export const isUnreachable = (code: string): boolean => UNREACHABLE.includes(code);
export const isTlsRefused = (code: string): boolean => TLS_REFUSED.test(code);

/** errno, or a library's own word; null = it has none. */
export function codeOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}
