/** HTTP as both providers are spoken to: no redirect, no decompression, a limit of size, and errors that can be told apart. */
import { Agent, request } from 'undici';
import { GeneratorError } from './generator.ts';
import { codeOf } from './network-errors.ts';

export interface ProviderRequest {
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

export interface ProviderAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: string;
}

/**
 * Any status is an answer. Throws what undici throws where there is none, IncompleteAnswerError where it ended half-way,
 * and GeneratorError `result_too_large`.
 */
export type Send = (url: string | URL, request: ProviderRequest) => Promise<ProviderAnswer>;

/** The provider had begun to answer, or had worked for long, when the connection was lost: it may have been paid for. */
export class IncompleteAnswerError extends Error {
  override readonly name = 'IncompleteAnswerError';
  readonly code = 'incomplete_answer';
}

export interface SendOptions {
  /** Of a success; a larger one is `result_too_large`. */
  readonly maxResponseBytes: number;
  /** A connection that is lost after so long was lost over work, not on the way. */
  readonly workAfterMs?: number;
}

const CONNECT_TIMEOUT_MS = 10_000;
const WORK_AFTER_MS = 5_000;
/** What is read of an answer that is no success: the status says what matters, and a proxy's page may be long. */
const LARGEST_REFUSAL_BYTES = 16_384;

/**
 * A lesson has some dozens of values. Of brackets alone 4 MiB become 235 MB when they are parsed, in each of 20 slots:
 * they are counted before, in the text, where those inside strings count as well.
 */
const MOST_VALUES = 262_144;

export function createSend({ maxResponseBytes, workAfterMs = WORK_AFTER_MS }: SendOptions): Send {
  const dispatcher = new Agent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    // undici's own are 300 s; the caller's signal is the limit, and GENERATOR_TIMEOUT_MS may be longer.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  return async (url, { method, headers, body, signal }) => {
    const began = performance.now();
    const answer = await request(url, {
      dispatcher,
      method,
      // undici decodes nothing, so that no small answer becomes a large one.
      headers: { ...headers, 'accept-encoding': 'identity' },
      signal,
      ...(body === undefined ? {} : { body }),
    }).catch((error: unknown) => {
      const waitedMs = performance.now() - began;
      if (signal.aborted || waitedMs < workAfterMs || !LOST.includes(codeOf(error) ?? '')) throw error;
      const seconds = (waitedMs / 1_000).toFixed(1);
      throw new IncompleteAnswerError(`the connection was lost after ${seconds} s without an answer`, { cause: error });
    });
    const { statusCode: status } = answer;
    const success = isSuccess({ status });
    const limit = success ? maxResponseBytes : LARGEST_REFUSAL_BYTES;
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        // Leaving the loop closes the connection.
        if (bytes > limit) break;
        chunks.push(chunk);
      }
    } catch (error) {
      if (signal.aborted) throw error;
      // Of a refusal the status is enough.
      if (success) {
        const message = `the answer (HTTP ${String(status)}) ended after ${String(bytes)} bytes`;
        throw new IncompleteAnswerError(message, { cause: error });
      }
    }
    if (success && bytes > limit) {
      throw new GeneratorError('permanent', 'result_too_large', `the answer is larger than ${String(limit)} bytes`);
    }
    const whole = Buffer.concat(chunks);
    if (success && valuesIn(whole) > MOST_VALUES) {
      throw new GeneratorError('transient', 'bad_result', `the answer has more than ${String(MOST_VALUES)} values`);
    }
    return { status, headers: answer.headers, body: whole.toString('utf8') };
  };
}

/** At least as many as its JSON has below the root: each follows an opening bracket or a comma. */
function valuesIn(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) if (byte === 0x5b || byte === 0x7b || byte === 0x2c) count += 1;
  return count;
}

const LOST: readonly string[] = ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'];

export const isSuccess = ({ status }: Pick<ProviderAnswer, 'status'>): boolean => status >= 200 && status < 300;

/**
 * Retry-After as RFC 9110, section 10.2.3, has it: seconds, or a date. What is neither says nothing. Milliseconds.
 */
export function retryAfterMs({ headers }: Pick<ProviderAnswer, 'headers'>, now = Date.now()): number | null {
  const header = headers['retry-after'];
  if (typeof header === 'object') {
    const waits = header.flatMap((each) => retryAfterMs({ headers: { 'retry-after': each } }, now) ?? []);
    return waits.length === 0 ? null : Math.max(...waits);
  }
  const text = header?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1_000;
  // Date.parse would take `-5`, `12` and `tomorrow 5` for dates of sorts: only what begins like one.
  const date = /^[A-Z][a-z]{2},? /.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}

/** For messages: what an answer was, not what it said. It may repeat a student's words, or our own signature. */
export function describeAnswer({ headers, body }: ProviderAnswer): string {
  const type = headers['content-type'];
  const kind = typeof type === 'string' ? (type.split(';')[0] ?? '') : 'no content type';
  return `no statement of the provider (${kind.slice(0, 50)}, ${String(Buffer.byteLength(body))} bytes)`;
}
