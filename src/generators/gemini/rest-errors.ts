/** What Google's error bodies say beyond the status: https://cloud.google.com/apis/design/errors#error_model. */
import { z } from 'zod';
import { GeneratorError, HttpStatusError } from '../generator.ts';
import { retryAfterMs, type ProviderAnswer } from '../provider-http.ts';

const Body = z.object({
  error: z.object({
    message: z.string().optional(),
    status: z.string().optional(),
    details: z.array(z.object({ reason: z.string().optional(), retryDelay: z.string().optional() })).optional(),
  }),
});
type GoogleError = z.infer<typeof Body>['error'];

/** These come with 400, but are about the set-up: the same key or billing refuses every request. */
const SETUP_REASONS = ['API_KEY_INVALID', 'API_KEY_EXPIRED', 'API_KEY_SERVICE_BLOCKED', 'BILLING_DISABLED'];
const SETUP_STATUSES = ['FAILED_PRECONDITION'];

export function errorOf(answer: ProviderAnswer): GeneratorError | HttpStatusError {
  const google = googleErrorOf(answer.body);
  const { status } = answer;
  const reasons = (google?.details ?? []).flatMap(({ reason }) => reason ?? []);
  if (
    status === 400 &&
    (SETUP_STATUSES.includes(google?.status ?? '') || reasons.some((reason) => SETUP_REASONS.includes(reason)))
  ) {
    return new GeneratorError('configuration', 'http_400', `HTTP 400: ${google?.message ?? ''}`.slice(0, 500));
  }
  return new HttpStatusError(status, google?.message ?? answer.body, retryAfterMs(answer) ?? retryDelayOf(google));
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
