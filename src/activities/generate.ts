/** One attempt at the script: marks the row, calls the generator, and checks what it says. */
import { z } from 'zod';
import { GENERATION_FAILURE, MAX_RESULT_BYTES } from '../contract/generation-failure.ts';
import { MEDIA, type GenerateInput, type GenerationResult, type Usage } from '../contract/workflow-io.ts';
import { faultPoint } from '../fault-points.ts';
import { GeneratorError } from '../generators/generator.ts';
import { startGeneration } from './content-requests.ts';
import { failure, refuseUnlessOurs } from './generation-failed.ts';
import { callProvider, explained, type ProviderDeps } from './provider-call.ts';
import { storable } from './storable.ts';

export async function generateContent(deps: ProviderDeps, input: GenerateInput): Promise<GenerationResult> {
  refuseUnlessOurs(await startGeneration(deps.database, input, input.failures));
  await faultPoint('worker.generating', input.rowId);
  const answer = await callProvider(deps, input, (context) => deps.generator.generate(input.request, context));
  await faultPoint('worker.generated', input.rowId);
  const result = await sound(deps, input, answer);
  const bytes = Buffer.byteLength(JSON.stringify(result));
  if (bytes > MAX_RESULT_BYTES) {
    throw failure(
      GENERATION_FAILURE.tooLarge,
      `the result is ${String(bytes)} bytes, more than ${String(MAX_RESULT_BYTES)}`,
      {
        code: 'result_too_large',
        retryAfterMs: null,
        usage: result.usage,
      },
    );
  }
  return result;
}

const USAGE = z.object({
  provider: z.string(),
  model: z.string().nullable(),
  inputTokens: z.number().nullable(),
  outputTokens: z.number().nullable(),
  costUsd: z.number().nullable().optional(),
  promptVersion: z.string().nullable().optional(),
});

/** A generator's answer comes from outside: what is stored must have its shape, and hold nothing PostgreSQL refuses. */
const RESULT = z.object({
  scriptText: z.string().min(1),
  media: z.object({
    videoUrl: z.string().nullable(),
    thumbnailUrl: z.string().nullable(),
    audioUrl: z.string().nullable().optional(),
  }),
  usage: USAGE,
  delivered: z.array(z.string()),
  offers: z.array(z.enum(MEDIA)).optional(),
});

async function sound(deps: ProviderDeps, input: GenerateInput, result: unknown): Promise<GenerationResult> {
  const parsed = RESULT.safeParse(result);
  // zod's optional fields may hold undefined; JSON, which is what is kept, drops them.
  if (parsed.success) return storable(parsed.data) as GenerationResult;
  const fields = parsed.error.issues.map(({ path }) => path.join('.') || 'result').join(', ');
  // Counted, not permanent: a provider that answers half a message may answer a whole one next time.
  const { data: usage } = z.object({ usage: USAGE }).safeParse(result);
  const message = `the generator's answer has no sound ${fields}`;
  const options = usage === undefined ? {} : { usage: usage.usage as Usage };
  throw await explained(deps, input, new GeneratorError('transient', 'bad_result', message, options));
}
