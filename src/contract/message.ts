import { contentHash } from './content-hash.ts';
import type { RejectionCode } from './failure.ts';
import { rowIdOf } from './identity.ts';
import { readFields, type Fault, type MessageFields } from './message-fields.ts';
import type { ContentRequest } from './request.ts';

export { contentHash } from './content-hash.ts';
export { canonicalUuid, rowIdOf } from './identity.ts';

/** A request is 2 KiB; Temporal takes about 2 MB as one payload, and the body travels in it as JSON. */
export const MAX_MESSAGE_BYTES = 512 * 1024;

/** By what a row can be found; null where the message does not say whose it is. */
export type RejectedIdentity = { readonly rowId: string } | { readonly correlationId: string } | null;

export type ParsedMessage =
  | {
      readonly kind: 'request';
      readonly request: ContentRequest;
      readonly contentHash: string;
      /** The bytes as text. It gives them back exactly: they were strict UTF-8 without a BOM. */
      readonly body: string;
    }
  | {
      readonly kind: 'rejection';
      readonly code: RejectionCode;
      readonly faults: readonly Fault[];
      /** All faults in one line: fields and rules, never values. */
      readonly detail: string;
      readonly identity: RejectedIdentity;
    };

/**
 * Bytes into a request, or into the reason why not. Never throws: what a stranger sends is no bug of ours.
 * The attributes are here to say that they are not read: they never fill a missing field.
 */
export function parse(bytes: Uint8Array, _attributes: Readonly<Record<string, string>>): ParsedMessage {
  if (bytes.length > MAX_MESSAGE_BYTES) {
    return rejection('too_large', bodyFault(`must have at most ${MAX_MESSAGE_BYTES} bytes`), identityInside(bytes));
  }
  const decoded = decode(bytes);
  if (decoded.kind === 'rejection') return decoded;

  const { fields, faults } = readFields(decoded.message);
  const all = [...faults, ...missing(fields, faults)];
  if (all.length > 0) return rejection('invalid_fields', all, identityOf(fields, faults));

  const request = requestOf(fields);
  // Unreachable, as `missing` is empty; the compiler cannot know.
  if (request === null) return rejection('invalid_fields', bodyFault('is incomplete'), identityOf(fields, faults));
  return { kind: 'request', request, contentHash: contentHash(request), body: decoded.body };
}

interface Decoded {
  readonly kind: 'object';
  readonly message: object;
  readonly body: string;
}
type Rejection = Extract<ParsedMessage, { kind: 'rejection' }>;

function decode(bytes: Uint8Array): Decoded | Rejection {
  let body: string;
  try {
    // ignoreBOM keeps the mark in the text, where it can be refused; without it the body would lose three bytes.
    body = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return rejection('not_utf8', bodyFault('must be UTF-8'), null);
  }
  if (body.startsWith('\uFEFF')) return rejection('not_utf8', bodyFault('must not start with a BOM'), null);

  let message: unknown;
  try {
    message = JSON.parse(body);
  } catch {
    // The parser's own message quotes the body, so it is not passed on.
    return rejection('not_json', bodyFault('must be JSON'), null);
  }
  if (typeof message !== 'object' || message === null || Array.isArray(message)) {
    return rejection('not_an_object', bodyFault('must be a JSON object'), null);
  }
  return { kind: 'object', message, body };
}

/** What no single field can know: that one of two has to be there. A field that is there but wrong is named already. */
function missing(fields: MessageFields, faults: readonly Fault[]): readonly Fault[] {
  const absent = (field: keyof MessageFields): boolean =>
    fields[field] === undefined && !faults.some((fault) => fault.field === field);
  const found: Fault[] = [];
  if (absent('request_id') && absent('correlation_id')) {
    found.push({ field: 'correlation_id', fault: 'is required where request_id is absent' });
  }
  if (absent('student_id')) found.push({ field: 'student_id', fault: 'is required' });
  if (absent('student_query') && absent('topic')) {
    found.push({ field: 'topic', fault: 'is required where student_query is absent' });
  }
  return found;
}

function requestOf(fields: MessageFields): ContentRequest | null {
  const correlationId = fields.correlation_id ?? fields.request_id;
  const topic = fields.student_query ?? fields.topic;
  if (correlationId === undefined || topic === undefined || fields.student_id === undefined) return null;
  return {
    rowId: fields.request_id ?? rowIdOf(correlationId),
    correlationId,
    studentId: fields.student_id,
    topic,
    gradeLevel: fields.grade_level ?? null,
    learningObjective: fields.learning_objective ?? null,
    durationMinutes: fields.duration_minutes ?? null,
    organizationId: fields.organization_id ?? null,
    interest: fields.interest === undefined || fields.interest === '' ? null : fields.interest,
    environment: fields.environment ?? null,
    requestedModalities: fields.requested_modalities ?? ['video'],
    preferredModality: fields.preferred_modality ?? 'video',
  };
}

/** A wrong request_id hides a good correlation_id: the sender meant one row and we cannot tell which. */
function identityOf(fields: MessageFields, faults: readonly Fault[]): RejectedIdentity {
  if (fields.request_id !== undefined) return { rowId: fields.request_id };
  if (faults.some(({ field }) => field === 'request_id')) return null;
  return fields.correlation_id === undefined ? null : { correlationId: fields.correlation_id };
}

/**
 * A body over the limit may still say whose it is, and the row that waits for it has to fail. It is read only when it
 * is large by its text: 10 MB of brackets took more than 256 MB of heap and the process with it, 0.3 million take 20.
 */
function identityInside(bytes: Uint8Array): RejectedIdentity {
  if (values(bytes) > MAX_MESSAGE_BYTES / 2) return null;
  const decoded = decode(bytes);
  if (decoded.kind === 'rejection') return null;
  const { fields, faults } = readFields(decoded.message);
  return identityOf(fields, faults);
}

/** At least as many as the JSON has values below its root: each follows an opening bracket or a comma. */
function values(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) if (byte === 0x5b || byte === 0x7b || byte === 0x2c) count += 1;
  return count;
}

function bodyFault(fault: string): readonly Fault[] {
  return [{ field: 'body', fault }];
}

function rejection(code: RejectionCode, faults: readonly Fault[], identity: RejectedIdentity): Rejection {
  const detail = faults.map(({ field, fault }) => `${field} ${fault}`).join('; ');
  return { kind: 'rejection', code, faults, detail, identity };
}
