/** The fields of a message and their rules. Faults name rules, never values: the values are minors' data. */
import { z } from 'zod';
import { canonicalUuid } from './identity.ts';
import { MODALITIES, type Modality } from './request.ts';

/** Code points, as PostgreSQL's varchar(n) counts; a UTF-16 count would refuse 51 emoji in a column of 100. */
export function codePoints(text: string): number {
  let count = 0;
  for (let index = 0; index < text.length; count += 1) index += (text.codePointAt(index) ?? 0) > 0xffff ? 2 : 1;
  return count;
}

/** PostgreSQL's text holds neither NUL nor half a surrogate pair. With the u flag \p{Cs} finds lone ones only. */
const UNSTORABLE = /\0|\p{Cs}/u;
const VISIBLE = /[^\s\p{Cc}\p{Cf}]/u;

const text = (min: number, max: number) =>
  z
    .string({ error: 'must be a string' })
    .refine((value) => codePoints(value) >= min && codePoints(value) <= max, {
      error: `must have ${min} to ${max} characters (code points)`,
    })
    .refine((value) => !UNSTORABLE.test(value), { error: 'must not contain NUL or lone surrogates' });

const visibleText = (min: number, max: number) =>
  text(min, max).refine((value) => VISIBLE.test(value), { error: 'must not be blank' });

/** One fault for a wrong type and a wrong number alike; 1.0 and 1e0 are the integer 1, and 1e999 is none. */
const integer = (min: number, max: number) => {
  const error = `must be an integer from ${min} to ${max}`;
  return z.number({ error }).refine((value) => Number.isInteger(value) && value >= min && value <= max, { error });
};

const gradeText = text(1, 50);
const gradeNumber = integer(1, 12);

const requestId = z.string({ error: 'must be a string' }).transform((value, context) => {
  const canonical = canonicalUuid(value);
  if (canonical !== null) return canonical;
  context.addIssue({ code: 'custom', message: 'must be a UUID' });
  return z.NEVER;
});

// Not z.union: its faults do not say which of the two was meant.
const gradeLevel = z.unknown().transform((value, context): string => {
  const result = typeof value === 'string' ? gradeText.safeParse(value) : gradeNumber.safeParse(value);
  if (result.success) return String(result.data);
  for (const { message } of result.error.issues) {
    context.addIssue({ code: 'custom', message: typeof value === 'string' ? message : `${message}, or a string` });
  }
  return z.NEVER;
});

/** Any letter case, for the requested and the preferred alike: one rule is easier to keep than two. */
function modalityOf(value: unknown): Modality | undefined {
  if (typeof value !== 'string') return undefined;
  const lower = value.toLowerCase();
  return MODALITIES.find((modality) => modality === lower);
}

const preferredModality = z.unknown().transform((value, context): Modality => {
  const modality = modalityOf(value);
  if (modality !== undefined) return modality;
  context.addIssue({ code: 'custom', message: `must be one of ${MODALITIES.join(', ')}` });
  return z.NEVER;
});

// One fault for the whole list: it may have a hundred thousand wrong items. A null item is no absent field but an
// unknown item. With duplicates dropped, more than four known ones cannot be.
const requestedModalities = z
  .array(z.unknown(), { error: 'must be an array' })
  .transform((items, context): readonly Modality[] => {
    const known = items.map(modalityOf).filter((item) => item !== undefined);
    if (known.length === items.length && known.length > 0) return [...new Set(known)];
    context.addIssue({ code: 'custom', message: `must hold 1 to 4 of ${MODALITIES.join(', ')}, and nothing else` });
    return z.NEVER;
  });

/** Every field that a message may use; a key that is not here is dropped unread. */
const FIELDS = {
  request_id: requestId,
  correlation_id: text(1, 64),
  student_id: text(1, 100),
  student_query: visibleText(1, 500),
  topic: visibleText(1, 500),
  grade_level: gradeLevel,
  learning_objective: text(1, 10_000),
  duration_minutes: integer(1, 2_147_483_647),
  organization_id: text(1, 100),
  interest: text(0, 100),
  environment: text(1, 50),
  requested_modalities: requestedModalities,
  preferred_modality: preferredModality,
} as const;

type Field = keyof typeof FIELDS;
export type MessageFields = { readonly [F in Field]?: z.output<(typeof FIELDS)[F]> };

export interface Fault {
  readonly field: string;
  readonly fault: string;
}

/**
 * Checks each field that is present, used or not (a topic beside a student_query too), so that every fault is named
 * at once. Only own keys are looked at, and null is absent.
 */
export function readFields(message: object): { readonly fields: MessageFields; readonly faults: readonly Fault[] } {
  const fields = Object.create(null) as Record<string, unknown>;
  const faults: Fault[] = [];
  for (const [field, schema] of Object.entries(FIELDS)) {
    const value: unknown = Object.getOwnPropertyDescriptor(message, field)?.value;
    if (value === undefined || value === null) continue;
    const result = schema.safeParse(value);
    if (result.success) fields[field] = result.data;
    else for (const { message: fault } of result.error.issues) faults.push({ field, fault });
  }
  return { fields: fields, faults };
}
