/**
 * A generator that fails as its script says, then hands over to the real one: for the demonstration and the tests.
 * The product never reads a script and knows no magic words.
 */
import { GeneratorError, type Generator } from '../generators/generator.ts';

export type Step =
  | { readonly kind: 'transient' | 'permanent'; readonly code: string }
  | { readonly kind: 'unavailable'; readonly code: string; readonly retryAfterMs?: number }
  /** Never answers; ends with the signal. */
  | { readonly kind: 'hang' }
  /** Answers with this many bytes of script. */
  | { readonly kind: 'bytes'; readonly bytes: number }
  | { readonly kind: 'ok' };

/** By correlation_id: one step a call; the last one is repeated. */
export type Script = Readonly<Record<string, readonly Step[]>>;

export function scriptedGenerator(
  real: Generator,
  script: Script,
  onCall?: (correlationId: string) => void,
): Generator {
  const calls = new Map<string, number>();
  return {
    name: `scripted ${real.name}`,
    check: (signal) => real.check(signal),
    ...(real.media === undefined ? {} : { media: real.media }),
    generate: async (request, context) => {
      const call = calls.get(request.correlationId) ?? 0;
      calls.set(request.correlationId, call + 1);
      onCall?.(request.correlationId);
      const steps = script[request.correlationId] ?? [];
      const step = steps[Math.min(call, steps.length - 1)] ?? { kind: 'ok' };
      switch (step.kind) {
        case 'ok':
          return real.generate(request, context);
        case 'bytes': {
          const result = await real.generate(request, context);
          return { ...result, scriptText: 'x'.repeat(step.bytes) };
        }
        case 'hang':
          return new Promise((_, reject) => {
            context.signal.addEventListener('abort', () => {
              reject(new Error('aborted'));
            });
          });
        case 'transient':
        case 'permanent':
        case 'unavailable':
          throw new GeneratorError(step.kind, step.code, `scripted: ${step.code}`, {
            ...('retryAfterMs' in step ? { retryAfterMs: step.retryAfterMs } : {}),
          });
        default:
          return step satisfies never;
      }
    },
  };
}
