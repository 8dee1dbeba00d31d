/**
 * The one place that decides what a failure means. Sources of the lists: PostgreSQL's SQLSTATE classes
 * (https://www.postgresql.org/docs/current/errcodes-appendix.html), RFC 9110 for HTTP, Node's errno names.
 */
import { GeneratorError } from '../generators/generator.ts';
import { isTlsRefused, isUnreachable } from '../generators/network-errors.ts';
import { DatabaseError } from './db.ts';

export type Failure =
  /** Never again: the same try cannot work. */
  | { readonly kind: 'permanent'; readonly code: string }
  /** Counted, tried again. */
  | { readonly kind: 'transient'; readonly code: string }
  /** The provider will not work with these settings (key, role, model, address): waits as unavailable, somebody mends it. */
  | { readonly kind: 'configuration'; readonly code: string }
  /** The provider is not there or asks to wait: not counted. */
  | { readonly kind: 'unavailable'; readonly code: string; readonly retryAfterMs: number | null }
  /** The database is not there: Temporal retries the activity, nothing is counted. */
  | { readonly kind: 'database'; readonly code: string };

const UNKNOWN: Failure = { kind: 'transient', code: 'unknown' };

/** Unknown is counted as transient: it is tried again, with a ceiling, never for ever. */
export function classify(error: unknown): Failure {
  if (error instanceof DatabaseError) {
    return error.permanent ? { kind: 'permanent', code: 'database_rejected' } : { kind: 'database', code: error.code };
  }
  if (error instanceof GeneratorError) {
    // Its retryAfterMs counts for `unavailable` only.
    return error.kind === 'unavailable'
      ? { kind: 'unavailable', code: error.code, retryAfterMs: error.retryAfterMs ?? null }
      : { kind: error.kind, code: error.code };
  }
  try {
    return ofCauses(error) ?? UNKNOWN;
  } catch {
    // A getter or a proxy that throws: to be asked what it is must not be worse than to be unknown.
    return UNKNOWN;
  }
}

/** The first of the chain that says something; the chain may be a circle. */
function ofCauses(error: unknown): Failure | null {
  const seen = new Set<unknown>();
  for (
    let cause: unknown = error;
    typeof cause === 'object' && cause !== null && !seen.has(cause);
    cause = 'cause' in cause ? cause.cause : null
  ) {
    seen.add(cause);
    if ('status' in cause && typeof cause.status === 'number') return ofHttpStatus(cause.status, waitOf(cause));
    if ('code' in cause && typeof cause.code === 'string') {
      // Its cause is a lost connection, but the provider had begun to answer: it counts, or a cut answer is paid for ever.
      if (cause.code === 'incomplete_answer') return { kind: 'transient', code: cause.code };
      if (isUnreachable(cause.code)) return { kind: 'unavailable', code: cause.code, retryAfterMs: null };
      if (isTlsRefused(cause.code)) return { kind: 'configuration', code: cause.code };
    }
  }
  return null;
}

function waitOf(error: object): number | null {
  return 'retryAfterMs' in error && typeof error.retryAfterMs === 'number' ? error.retryAfterMs : null;
}

/** The original worker met a missing role and a retired model as failures of each request (404, 403), and retried. */
const CONFIGURATION: readonly number[] = [401, 402, 403, 404, 405, 407];

/** 4xx that are answers about this moment, not about the request: timeout, conflict, too early. */
const OF_THE_MOMENT: readonly number[] = [408, 409, 425];

function ofHttpStatus(status: number, retryAfterMs: number | null): Failure {
  const code = `http_${String(status)}`;
  if (status === 429 || status === 503) return { kind: 'unavailable', code, retryAfterMs };
  // A redirect is not followed: it would carry the signed request to an address that nobody configured.
  if (CONFIGURATION.includes(status) || (status >= 300 && status < 400)) return { kind: 'configuration', code };
  if (status >= 400 && status < 500 && !OF_THE_MOMENT.includes(status)) return { kind: 'permanent', code };
  return { kind: 'transient', code };
}
