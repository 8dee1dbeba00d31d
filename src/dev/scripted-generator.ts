/**
 * A generator that fails as its script says, then hands over to the real one: for the demonstration and the tests.
 * The product never reads a script and knows no magic words.
 */
import { MEDIA } from '../contract/workflow-io.ts';
import { GeneratorError, type Generator, type MediaGenerator, type MediumAnswer } from '../generators/generator.ts';

type Failing =
  | { readonly kind: 'transient' | 'permanent' | 'configuration'; readonly code: string }
  | { readonly kind: 'unavailable'; readonly code: string; readonly retryAfterMs?: number };

export type Step =
  | Failing
  /** Never answers; ends with the signal. */
  | { readonly kind: 'hang' }
  /** Answers with this many bytes of script. */
  | { readonly kind: 'bytes'; readonly bytes: number }
  | { readonly kind: 'ok' }
  /** Of a medium: the provider has taken it, and still makes it. */
  | { readonly kind: 'pending' };

/**
 * By correlation_id: one step a call; the last one is repeated. By `<correlation_id>/video` or `/audio`: the medium is
 * offered, its first step is the answer to being asked for it, the others are those to the looks.
 */
export type Script = Readonly<Record<string, readonly Step[]>>;

export function scriptedGenerator(
  real: Generator,
  script: Script,
  onCall?: (correlationId: string) => void,
): Generator {
  const calls = new Map<string, number>();
  const nextStep = (key: string): Step => {
    const call = calls.get(key) ?? 0;
    calls.set(key, call + 1);
    const steps = script[key] ?? [];
    return steps[Math.min(call, steps.length - 1)] ?? { kind: 'ok' };
  };
  return {
    name: `scripted ${real.name}`,
    check: (signal) => real.check(signal),
    generate: async (request, context) => {
      const { correlationId } = request;
      onCall?.(correlationId);
      const step = nextStep(correlationId);
      if (step.kind === 'hang') return hang(context.signal);
      refuse(step);
      const result = await real.generate(request, context);
      if (step.kind === 'bytes') return { ...result, scriptText: 'x'.repeat(step.bytes) };
      const offers = MEDIA.filter((medium) => script[`${correlationId}/${medium}`] !== undefined);
      return offers.length === 0 ? result : { ...result, offers };
    },
    media: scriptedMedia(real, script, nextStep),
  };
}

const ADDRESS = 'scripted:';

function scriptedMedia(real: Generator, script: Script, nextStep: (key: string) => Step): MediaGenerator {
  const answer = (key: string): MediumAnswer => {
    const step = nextStep(key);
    refuse(step);
    if (step.kind === 'pending') {
      return { kind: 'pending', statusUrl: `${ADDRESS}${key}`, retryAfterMs: 1_000, progress: 50 };
    }
    const url = `https://scripted.example/${encodeURIComponent(key)}`;
    return { kind: 'made', made: { url, thumbnailUrl: `${url}.jpg`, usage: null } };
  };
  const realMedia = (): MediaGenerator => {
    if (real.media === undefined) throw new Error(`${real.name} makes no media`);
    return real.media;
  };
  return {
    start: async (medium, request, scriptText, context) => {
      const key = `${request.correlationId}/${medium}`;
      return script[key] === undefined ? realMedia().start(medium, request, scriptText, context) : answer(key);
    },
    look: async (statusUrl, ...others) =>
      statusUrl.startsWith(ADDRESS) ? answer(statusUrl.slice(ADDRESS.length)) : realMedia().look(statusUrl, ...others),
  };
}

function refuse(step: Step): void {
  if (!('code' in step)) return;
  throw new GeneratorError(step.kind, step.code, `scripted: ${step.code}`, {
    ...('retryAfterMs' in step ? { retryAfterMs: step.retryAfterMs } : {}),
  });
}

function hang(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(new Error('aborted'));
    });
  });
}
