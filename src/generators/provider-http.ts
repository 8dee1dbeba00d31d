/** HTTP as both providers are spoken to: no redirect, no decompression, a limit of size, and errors that can be told apart. */
import { Agent, request } from 'undici';
import { GeneratorError } from './generator.ts';

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

/** The status came, the body did not come whole: the provider may have worked, and been paid, for it. */
export class IncompleteAnswerError extends Error {
  override readonly name = 'IncompleteAnswerError';
  readonly code = 'incomplete_answer';
}

const CONNECT_TIMEOUT_MS = 10_000;

export function createSend({ maxResponseBytes }: { readonly maxResponseBytes: number }): Send {
  const dispatcher = new Agent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    // undici's own are 300 s; the caller's signal is the limit, and GENERATOR_TIMEOUT_MS may be longer.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  return async (url, { method, headers, body, signal }) => {
    const answer = await request(url, {
      dispatcher,
      method,
      // undici decodes nothing, so that no small answer becomes a large one.
      headers: { ...headers, 'accept-encoding': 'identity' },
      signal,
      ...(body === undefined ? {} : { body }),
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        // Leaving the loop closes the connection.
        if (bytes > maxResponseBytes) break;
        chunks.push(chunk);
      }
    } catch (error) {
      if (signal.aborted) throw error;
      throw new IncompleteAnswerError(
        `the answer (HTTP ${String(answer.statusCode)}) ended after ${String(bytes)} bytes`,
        { cause: error },
      );
    }
    if (bytes > maxResponseBytes) {
      throw new GeneratorError(
        'permanent',
        'result_too_large',
        `the answer is larger than ${String(maxResponseBytes)} bytes`,
      );
    }
    return { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks).toString('utf8') };
  };
}

export const isSuccess = ({ status }: ProviderAnswer): boolean => status >= 200 && status < 300;

/**
 * Retry-After as RFC 9110, section 10.2.3, has it: seconds, or a date. What is neither says nothing. Milliseconds.
 */
export function retryAfterMs({ headers }: Pick<ProviderAnswer, 'headers'>, now = Date.now()): number | null {
  const header = headers['retry-after'];
  if (typeof header !== 'string') return null;
  const text = header.trim();
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1_000;
  // Date.parse would take `-5`, `12` and `tomorrow 5` for dates of sorts: only what begins like one.
  const date = /^[A-Z][a-z]{2},? /.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}
