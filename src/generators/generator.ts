import type { ContentRequest } from '../contract/request.ts';
import type { GenerationResult } from '../contract/workflow-io.ts';

export interface GenerationContext {
  /** From 1; the counted attempt. */
  readonly attempt: number;
  /** Aborts at cancel, shutdown and timeout; a generator stops what it pays for. */
  readonly signal: AbortSignal;
  /** To be called at least every few seconds of a long generation. */
  readonly heartbeat: (detail?: unknown) => void;
}

/** Makes the content of one request. The only thing between the product and a provider. */
export interface Generator {
  readonly name: string;
  /** Throws GeneratorError for what the provider says; anything else counts as an unknown, transient failure. */
  generate(request: ContentRequest, context: GenerationContext): Promise<GenerationResult>;
  /** Throws where the generator cannot work: wrong key, no route. Paid for by nobody. */
  check(): Promise<void>;
}

export interface GeneratorErrorOptions extends ErrorOptions {
  /** From the provider's Retry-After. */
  readonly retryAfterMs?: number | undefined;
}

export class GeneratorError extends Error {
  override readonly name = 'GeneratorError';
  /** permanent: never again; transient: counted; unavailable (429, 503, unreachable): waited for, not counted. */
  readonly kind: 'permanent' | 'transient' | 'unavailable';
  /** Stable and short, for logs and failures. */
  readonly code: string;
  declare readonly retryAfterMs?: number;

  constructor(kind: GeneratorError['kind'], code: string, message: string, options: GeneratorErrorOptions = {}) {
    super(message, options);
    this.kind = kind;
    this.code = code;
    if (options.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs;
  }
}
