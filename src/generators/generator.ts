import type { ContentRequest } from '../contract/request.ts';
import type { GenerationResult, MadeMedium, Medium, Usage } from '../contract/workflow-io.ts';

export interface GenerationContext {
  /** Aborts at cancel, shutdown and timeout; a generator stops what it pays for. */
  readonly signal: AbortSignal;
}

/**
 * Makes the content of one request. The only thing between the product and a provider. What the provider says is thrown
 * as a GeneratorError or an HttpStatusError; anything else counts as an unknown, transient failure.
 */
export interface Generator {
  readonly name: string;
  generate(request: ContentRequest, context: GenerationContext): Promise<GenerationResult>;
  /** Throws where the generator cannot work: wrong key, no route, no role. Costs nothing. Says what it found. */
  check(signal: AbortSignal): Promise<string>;
  /** Absent where the provider makes no media of their own. */
  readonly media?: MediaGenerator;
}

export interface MediaGenerator {
  /** Asking twice for the same medium of the same request is asking once. */
  start(medium: Medium, request: ContentRequest, scriptText: string, context: GenerationContext): Promise<MediumAnswer>;
  look(statusUrl: string, medium: Medium, rowId: string, context: GenerationContext): Promise<MediumAnswer>;
}

export type MediumAnswer =
  | { readonly kind: 'made'; readonly made: MadeMedium }
  | {
      readonly kind: 'pending';
      readonly statusUrl: string;
      readonly retryAfterMs: number | null;
      /** 0..100 of this medium. */
      readonly progress: number;
    };

/** Code of a look at a medium that another provider has taken: it is asked for anew, and nothing has failed. */
export const PROVIDER_MOVED = 'provider_moved';

export interface GeneratorErrorOptions extends ErrorOptions {
  /** From the provider's Retry-After. */
  readonly retryAfterMs?: number | undefined;
  /** What the attempt cost although it failed. */
  readonly usage?: Usage;
}

export class GeneratorError extends Error {
  override readonly name = 'GeneratorError';
  /**
   * permanent: never again; transient: counted; unavailable (429, 503, unreachable): waited for, not counted;
   * configuration (no role, no such model, a wrong key): as unavailable, and the worker's readiness says so.
   */
  readonly kind: 'permanent' | 'transient' | 'unavailable' | 'configuration';
  /** Stable and short, for logs and failures. */
  readonly code: string;
  declare readonly retryAfterMs?: number;
  declare readonly usage?: Usage;

  constructor(kind: GeneratorError['kind'], code: string, message: string, options: GeneratorErrorOptions = {}) {
    super(message, options);
    this.kind = kind;
    this.code = code;
    if (options.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs;
    if (options.usage !== undefined) this.usage = options.usage;
  }
}

/** The provider answered with a status that is no success; the one classifier says what that means. */
export class HttpStatusError extends Error {
  override readonly name = 'HttpStatusError';
  readonly status: number;
  /** From Retry-After, or what else the answer says about when. */
  readonly retryAfterMs: number | null;

  /** @param said for row, letter and log: a statement of the provider's, never a body that may hold what was sent. */
  constructor(status: number, said: string, retryAfterMs: number | null) {
    super(
      `HTTP ${String(status)}: ${said
        .replaceAll(/Bearer\s+\S+/gi, 'Bearer …')
        .replaceAll(/\beyJ[\w-]+\.[\w.-]*/g, '…')
        .slice(0, 500)}`,
    );
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}
