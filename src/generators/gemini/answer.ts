/** What an answer of the model means: a lesson, or one of the ways in which there is none. */
import type { GenerateContentResponse } from '@google/genai';
import type { Usage } from '../../contract/workflow-io.ts';
import { GeneratorError } from '../generator.ts';
import { Lesson, scriptOf } from './lesson.ts';

/**
 * https://ai.google.dev/api/generate-content#FinishReason. The enum grows: what is in neither list is an attempt that
 * failed. Not here: RECITATION and OTHER, which another try of the same prompt mostly does not meet.
 */
const BLOCKED_FINISH = ['SAFETY', 'BLOCKLIST', 'PROHIBITED_CONTENT', 'SPII', 'IMAGE_SAFETY'];
const REFUSED_FINISH = ['LANGUAGE'];

/** @throws GeneratorError: content_blocked (permanent), token_limit, bad_result and others (transient), with the usage. */
export function scriptFrom(response: GenerateContentResponse, usage: Usage): string {
  const blocked = response.promptFeedback?.blockReason;
  if (blocked !== undefined) {
    throw new GeneratorError('permanent', 'content_blocked', `the request was blocked: ${blocked}`, { usage });
  }
  const candidate = response.candidates?.[0];
  if (candidate === undefined) throw new GeneratorError('transient', 'bad_result', 'no candidate', { usage });
  const finish: string = candidate.finishReason ?? 'STOP';
  if (BLOCKED_FINISH.includes(finish)) {
    throw new GeneratorError('permanent', 'content_blocked', `the answer was blocked: ${finish}`, { usage });
  }
  if (REFUSED_FINISH.includes(finish)) {
    throw new GeneratorError('permanent', `finish_${finish.toLowerCase()}`, `the model ended with ${finish}`, {
      usage,
    });
  }
  if (finish === 'MAX_TOKENS') {
    const tokens = usage.outputTokens === null ? '' : ` after ${String(usage.outputTokens)} tokens`;
    // Counted and not permanent: a model that repeats itself meets any limit, and mostly not twice.
    throw new GeneratorError(
      'transient',
      'token_limit',
      `the answer was cut off${tokens}: if it happens often, raise GEMINI_MAX_OUTPUT_TOKENS`,
      { usage },
    );
  }
  if (finish !== 'STOP') {
    throw new GeneratorError('transient', `finish_${finish.toLowerCase()}`, `the model ended with ${finish}`, {
      usage,
    });
  }
  const text = (candidate.content?.parts ?? [])
    .map((part) => (part.thought === true ? '' : (part.text ?? '')))
    .join('');
  return lessonFrom(text, usage);
}

function lessonFrom(text: string, usage: Usage): string {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new GeneratorError('transient', 'bad_result', 'the answer is no JSON', { usage });
  }
  const parsed = Lesson.safeParse(answer);
  if (parsed.success) return scriptOf(parsed.data);
  const fields = parsed.error.issues.map(({ path }) => path.join('.') || 'answer').join(', ');
  throw new GeneratorError('transient', 'bad_result', `the answer breaks the schema at ${fields}`, { usage });
}
