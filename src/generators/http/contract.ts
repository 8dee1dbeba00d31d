/** The answers of a content provider, as docs/content-provider.openapi.yaml describes them; a test compares the two. */
import { z } from 'zod';
import { MEDIA } from '../../contract/workflow-io.ts';

/**
 * 2,048 is what browsers and proxies agree on. Nothing that a reader's browser would run: no javascript:, no data:. Stored
 * as URL reads it, so that it means the same to everybody.
 */
const storedUrl = z
  .string()
  .max(2_048)
  .regex(/^(https|gs):\/\/\S+$/)
  .transform((text, context) => {
    try {
      return new URL(text).href;
    } catch {
      context.addIssue({ code: 'custom', message: 'is no URL' });
      return z.NEVER;
    }
  });

const count = z.number().int().nonnegative();

const Usage = z.object({
  model: z.string().max(200).nullish(),
  input_tokens: count.nullish(),
  output_tokens: count.nullish(),
  cost_usd: z.number().nonnegative().nullish(),
  prompt_version: z.string().max(200).nullish(),
});
export type ProviderUsage = z.infer<typeof Usage>;

export const ScriptAnswer = z.object({
  script_text: z.string().regex(/\S/),
  media: z
    .object({ audio_url: storedUrl.nullish(), video_url: storedUrl.nullish(), thumbnail_url: storedUrl.nullish() })
    .nullish(),
  offers: z.array(z.enum(MEDIA)).max(MEDIA.length).nullish(),
  usage: Usage.nullish(),
});
export type ScriptAnswer = z.infer<typeof ScriptAnswer>;

/** 200: the medium is made. */
export const MediumAnswer = z.object({
  url: storedUrl,
  thumbnail_url: storedUrl.nullish(),
  usage: Usage.nullish(),
});

const progress = z.number().min(0).max(100).nullish();

/** 202 to being asked for a medium: it is being made, and this is where every look goes. */
export const TakenAnswer = z.object({ status_url: z.string().min(1).max(2_048), progress });

/** 202 to a look: not yet. */
export const PendingAnswer = z.object({ progress });

/** application/problem+json (RFC 9457) with two members of ours. One that is odd does not take the others with it. */
export const Problem = z.object({
  title: z.string().nullish().catch(null),
  detail: z.string().nullish().catch(null),
  /** `content_blocked` has a meaning; every other code is passed on to row and letter. */
  code: z
    .string()
    .regex(/^[a-z0-9_]{1,64}$/)
    .nullish()
    .catch(null),
  /** Of a 422: another attempt may work. */
  retryable: z.boolean().nullish().catch(null),
});
export type Problem = z.infer<typeof Problem>;

export const Description = z.object({ name: z.string().min(1).max(200) });
