/** What Google's error bodies say beyond the status: https://cloud.google.com/apis/design/errors#error_model. */
import { z } from 'zod';
import { GeneratorError, HttpStatusError } from '../generator.ts';
import { describeAnswer, retryAfterMs, type ProviderAnswer } from '../provider-http.ts';

const Body = z.object({
  error: z.object({
    message: z.string().optional(),
    details: z.array(z.object({ retryDelay: z.string().optional() })).optional(),
  }),
});
type GoogleError = z.infer<typeof Body>['error'];

/**
 * A 400 is about the set-up: a wrong key (API_KEY_INVALID), a place that is not served (FAILED_PRECONDITION), a model that
 * takes no system instruction, no schema, or not so many tokens (INVALID_ARGUMENT). What varies between requests are a
 * few bounded strings inside one JSON string, and what is wrong with those is answered with 200 and a reason.
 */
export function errorOf(answer: ProviderAnswer, apiKey: string | null): GeneratorError | HttpStatusError {
  const google = googleErrorOf(answer.body);
  const message = google?.message ?? describeAnswer(answer);
  // Whoever is behind GEMINI_BASE_URL may repeat the key that it refuses.
  const said = apiKey === null ? message : message.replaceAll(apiKey, '…');
  const wait = retryAfterMs(answer) ?? retryDelayOf(google);
  const error = new HttpStatusError(answer.status, said, wait);
  return answer.status === 400 ? new GeneratorError('configuration', 'http_400', error.message) : error;
}

function googleErrorOf(body: string): GoogleError | null {
  try {
    const parsed = Body.safeParse(JSON.parse(body));
    return parsed.success ? parsed.data.error : null;
  } catch {
    return null;
  }
}

/** google.rpc.RetryInfo, as `12s` or `0.5s`: what Gemini sends in place of Retry-After. */
function retryDelayOf(error: GoogleError | null): number | null {
  const delay = error?.details?.find(({ retryDelay }) => retryDelay !== undefined)?.retryDelay;
  const seconds = /^(\d{1,9}(?:\.\d{1,9})?)s$/.exec(delay ?? '')?.[1];
  return seconds === undefined ? null : Math.ceil(Number(seconds) * 1_000);
}
