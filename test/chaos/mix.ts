/** What is published: a seeded mix of requests, each with the ends that it may come to and what its provider answers. */
import { rowIdOf } from '../../src/contract/message.ts';
import type { DeadLetterReason } from '../../src/contract/failure.ts';
import { OPEN_STATUSES } from '../../src/contract/status.ts';
import { grouped } from './grouped.ts';
import type { Random } from './random.ts';

/** What the provider says to one call: a counted failure, a refusal for good, a wait, or the work itself. */
export type ProviderStep =
  | { readonly kind: 'ok'; readonly ms: number }
  | { readonly kind: 'status'; readonly status: number; readonly retryAfterSeconds?: number; readonly code?: string };

export interface PlannedMessage {
  /** Order of publishing, and the attribute by which its letters are recognised. */
  readonly index: number;
  readonly body: Buffer;
  /** Messages of one request with the same letter have the same content. */
  readonly content: string;
}

/** How a request may end: statuses of its row, and letters that its messages may have. */
export interface Ends {
  /** Empty = there must be no row. */
  readonly statuses: readonly string[];
  /** Of retry_count at the end; null = whatever the provider's failures come to. */
  readonly retryCount: number | null;
  /** The reason that each of its messages must have a letter for; null = none may have one. */
  readonly letter: DeadLetterReason | null;
  /** In place of that: by content, the reasons of which its letter must have one; of a content that is not here, none. */
  readonly letters?: Readonly<Record<string, readonly DeadLetterReason[]>>;
}

export interface PlannedRequest {
  readonly kind: string;
  /** Null where no row can be named. */
  readonly rowId: string | null;
  readonly correlationId: string;
  readonly messages: readonly PlannedMessage[];
  /** The API has made a pending row before it published. */
  readonly apiRow: { readonly topic: string; readonly gradeLevel: string | null } | null;
  readonly script: readonly ProviderStep[];
  /** The provider makes a video in a stage of its own, in so many looks. */
  readonly videoLooks: number;
  readonly ends: Ends;
  /** It may end like this as well: which comes first decides. */
  readonly orEnds?: Ends;
}

export function endsOf({ ends, orEnds }: PlannedRequest): readonly Ends[] {
  return orEnds === undefined ? [ends] : [ends, orEnds];
}

/** For which a message may have a letter; none = it may have none. */
export function reasonsFor({ letter, letters }: Ends, { content }: PlannedMessage): readonly DeadLetterReason[] {
  if (letters !== undefined) return letters[content] ?? [];
  return letter === null ? [] : [letter];
}

export interface Plan {
  readonly requests: readonly PlannedRequest[];
  /** All of them in the order of publishing. */
  readonly messages: readonly { readonly message: PlannedMessage; readonly request: PlannedRequest }[];
}

interface Kind {
  readonly name: string;
  readonly weight: number;
  readonly make: (random: Random, id: string) => Draft;
}
interface Draft {
  readonly bodies: readonly { readonly body: Buffer; readonly content: string }[];
  readonly rowId: string | null;
  readonly correlationId: string;
  readonly apiRow?: PlannedRequest['apiRow'];
  readonly script?: readonly ProviderStep[];
  readonly videoLooks?: number;
  readonly ends: Ends;
  readonly orEnds?: Ends;
  /** Its messages are published one beside the other. */
  readonly near?: true;
  /** Another request that is published beside it. */
  readonly beside?: Draft;
}

const COMPLETED: Ends = { statuses: ['completed'], retryCount: 0, letter: null };
const failed = (letter: DeadLetterReason, retryCount: number | null): Ends => ({
  statuses: ['failed'],
  retryCount,
  letter,
});
const refused = (letter: DeadLetterReason): Ends => ({ statuses: [], retryCount: null, letter });
/** Attempts of the retry policy that the bridges are run with. */
export const MAX_ATTEMPTS = 3;

const GRADES = ['9th Grade', 7, null] as const;

const ok = (random: Random): ProviderStep => ({ kind: 'ok', ms: random.int(5, 400) });
const status = (code: number, more: { retryAfterSeconds?: number; code?: string } = {}): ProviderStep => ({
  kind: 'status',
  status: code,
  ...more,
});

function planShape(id: string, random: Random, more: object = {}): Readonly<Record<string, unknown>> {
  const grade = random.pick(GRADES);
  return {
    correlation_id: id,
    student_id: `student-${String(random.int(1, 500))}`,
    topic: `Topic of ${id}`,
    ...(grade === null ? {} : { grade_level: grade }),
    requested_modalities: ['text'],
    ...more,
  };
}

const json = (fields: object): Buffer => Buffer.from(JSON.stringify(fields));

/** One message in the plan's shape. */
function single(random: Random, id: string, more: object = {}): Pick<Draft, 'bodies' | 'rowId' | 'correlationId'> {
  return {
    bodies: [{ body: json(planShape(id, random, more)), content: 'a' }],
    rowId: rowIdOf(id),
    correlationId: id,
  };
}

export const KINDS: readonly Kind[] = [
  {
    name: 'plan shape',
    weight: 480,
    make: (random, id) => ({ ...single(random, id), script: [ok(random)], ends: COMPLETED }),
  },
  {
    name: 'API shape',
    weight: 120,
    make: (random, id) => {
      const requestId = random.uuid();
      const topic = `Question of ${id}`;
      const grade = random.int(1, 12);
      const body = json({
        request_id: requestId,
        correlation_id: id,
        student_id: `student-${id}`,
        student_query: topic,
        grade_level: grade,
        interest: random.pick(['football', '']),
        requested_modalities: ['TEXT', 'text'],
        preferred_modality: 'text',
      });
      return {
        bodies: [{ body, content: 'a' }],
        rowId: requestId,
        correlationId: id,
        apiRow: random.chance(0.7) ? { topic, gradeLevel: String(grade) } : null,
        script: [ok(random)],
        ends: COMPLETED,
      };
    },
  },
  {
    name: 'exact duplicates',
    weight: 80,
    make: (random, id) => {
      const one = single(random, id);
      const bodies = Array.from({ length: random.int(2, 5) }, () => one.bodies).flat();
      return { ...one, bodies, script: [ok(random)], ends: COMPLETED };
    },
  },
  {
    name: 'conflicting duplicates',
    weight: 40,
    make: (random, id) => {
      const fields = planShape(id, random);
      const other = { ...fields, topic: `Another topic of ${id}` };
      return {
        bodies: [
          { body: json(fields), content: 'a' },
          { body: json(other), content: 'b' },
        ],
        rowId: rowIdOf(id),
        correlationId: id,
        script: [ok(random)],
        ends: { ...COMPLETED, letter: 'conflicting_duplicate' },
      };
    },
  },
  {
    name: 'transient failures',
    weight: 60,
    make: (random, id) => {
      const times = random.int(1, MAX_ATTEMPTS - 1);
      const failures = Array.from({ length: times }, () => status(random.pick([500, 502, 504])));
      return {
        ...single(random, id),
        script: [...failures, ok(random)],
        ends: { ...COMPLETED, retryCount: times },
      };
    },
  },
  {
    name: 'never works',
    weight: 30,
    make: (random, id) => ({
      ...single(random, id),
      script: [status(500)],
      ends: failed('attempts_exhausted', MAX_ATTEMPTS),
    }),
  },
  {
    name: 'permanent failure',
    weight: 30,
    make: (random, id) => ({ ...single(random, id), script: [status(422)], ends: failed('generation_failed', 1) }),
  },
  {
    name: 'blocked content',
    weight: 10,
    make: (random, id) => ({
      ...single(random, id),
      script: [status(422, { code: 'content_blocked' })],
      ends: failed('content_blocked', 1),
    }),
  },
  {
    name: 'rate limited',
    weight: 30,
    make: (random, id) => ({
      ...single(random, id),
      script: [status(429, { retryAfterSeconds: 1 }), status(random.pick([429, 503])), ok(random)],
      ends: COMPLETED,
    }),
  },
  {
    name: 'slow',
    weight: 25,
    make: (random, id) => ({
      ...single(random, id),
      script: [{ kind: 'ok', ms: random.int(3_000, 15_000) }],
      ends: COMPLETED,
    }),
  },
  {
    name: 'with a video',
    weight: 25,
    make: (random, id) => ({
      ...single(random, id, { requested_modalities: ['text', 'video'] }),
      script: [ok(random)],
      videoLooks: random.int(1, 2),
      ends: COMPLETED,
    }),
  },
  {
    name: 'not JSON',
    weight: 20,
    make: (random, id) => ({
      bodies: [{ body: Buffer.from(`{"correlation_id": "${id}", ${'x'.repeat(random.int(1, 50))}`), content: 'a' }],
      rowId: null,
      correlationId: id,
      ends: refused('not_json'),
    }),
  },
  {
    name: 'not UTF-8',
    weight: 10,
    make: (_, id) => ({
      bodies: [{ body: Buffer.concat([Buffer.from(id), Buffer.from([0xff, 0xfe])]), content: 'a' }],
      rowId: null,
      correlationId: id,
      ends: refused('not_utf8'),
    }),
  },
  {
    name: 'not an object',
    weight: 10,
    make: (_, id) => ({
      bodies: [{ body: json([id]), content: 'a' }],
      rowId: null,
      correlationId: id,
      ends: refused('not_an_object'),
    }),
  },
  {
    name: 'invalid fields',
    weight: 20,
    make: (random, id) => ({
      bodies: [{ body: json({ ...planShape(id, random), duration_minutes: 'five' }), content: 'a' }],
      rowId: rowIdOf(id),
      correlationId: id,
      ends: refused('invalid_fields'),
    }),
  },
  {
    name: 'invalid, and a row waits for it',
    weight: 15,
    make: (random, id) => {
      const requestId = random.uuid();
      const topic = `Question of ${id}`;
      return {
        bodies: [{ body: json({ request_id: requestId, student_query: topic }), content: 'a' }],
        rowId: requestId,
        correlationId: id,
        apiRow: { topic, gradeLevel: null },
        ends: failed('invalid_fields', 0),
      };
    },
  },
  {
    name: "another student's message beside the right one",
    weight: 15,
    make: (random, id) => {
      const requestId = random.uuid();
      const topic = `Question of ${id}`;
      const of = (student: string): Buffer =>
        json({
          request_id: requestId,
          correlation_id: id,
          student_id: student,
          student_query: topic,
          requested_modalities: ['text'],
        });
      const right = { body: of(`student-${id}`), content: 'right' };
      const wrong = { body: of(`another-${id}`), content: 'wrong' };
      return {
        bodies: random.chance(0.5) ? [right, wrong] : [wrong, right],
        near: true,
        rowId: requestId,
        correlationId: id,
        apiRow: { topic, gradeLevel: null },
        script: [ok(random)],
        // The row refuses it, or the right one's run holds the row's id and has other content.
        ends: { ...COMPLETED, letters: { wrong: ['student_mismatch', 'conflicting_duplicate'] } },
      };
    },
  },
  {
    name: 'a correlation_id that another request may take first',
    weight: 10,
    make: (random, id) => {
      const requestId = random.uuid();
      const topic = `Question of ${id}`;
      const taken = `${id}-taken`;
      const body = json({
        request_id: requestId,
        correlation_id: taken,
        student_id: `student-${id}`,
        student_query: topic,
        requested_modalities: ['text'],
      });
      return {
        bodies: [{ body, content: 'a' }],
        near: true,
        rowId: requestId,
        correlationId: id,
        apiRow: { topic, gradeLevel: null },
        script: [ok(random)],
        // It comes first: the row keeps the correlation_id that the API has given it, so that the other may have its own.
        ends: COMPLETED,
        // The other has a row of that correlation_id: refused, and this row is left as it is.
        orEnds: { statuses: OPEN_STATUSES, retryCount: null, letter: 'correlation_id_taken' },
        beside: { ...single(random, taken), script: [ok(random)], ends: COMPLETED },
      };
    },
  },
  {
    name: 'too large',
    weight: 2,
    make: (_, id) => ({
      bodies: [{ body: Buffer.from(`${id} ${'x'.repeat(600_000)}`), content: 'a' }],
      rowId: null,
      correlationId: id,
      ends: refused('too_large'),
    }),
  },
];

/** How far apart the messages of one request may be published. */
const SPREAD = 300;

/** Exactly `count` messages; the last request of many may be cut to fit. */
export function makePlan(count: number, random: Random, run: string): Plan {
  const drafts: { draft: Draft; kind: string; place: number }[] = [];
  let made = 0;
  for (let number = 1; made < count; number += 1) {
    const kind = random.weighted(KINDS);
    const draft = kind.make(random, `${run}-${String(number)}`);
    const both = draft.beside === undefined ? [draft] : [draft, draft.beside];
    if (both.reduce((sum, { bodies }) => sum + bodies.length, 0) > count - made) continue;
    for (const one of random.chance(0.5) ? both : both.reverse()) {
      drafts.push({ draft: one, kind: kind.name, place: made });
      made += one.bodies.length;
    }
  }
  const placed = drafts.flatMap(({ draft, place }, request) =>
    draft.bodies.map((one, copy) => ({
      ...one,
      request,
      order: place + (copy === 0 || draft.near === true ? 0 : random.int(0, SPREAD)),
    })),
  );
  // Stable: equal places keep their order.
  const indexed = placed.sort((a, b) => a.order - b.order).map((one, index) => ({ ...one, index }));
  const byRequest = grouped(indexed, ({ request }) => request);
  const requests = drafts.map(({ draft, kind }, number): PlannedRequest => ({
    kind,
    rowId: draft.rowId,
    correlationId: draft.correlationId,
    messages: (byRequest.get(number) ?? []).map(({ index, body, content }) => ({ index, body, content })),
    apiRow: draft.apiRow ?? null,
    script: draft.script ?? [],
    videoLooks: draft.videoLooks ?? 0,
    ends: draft.ends,
    ...(draft.orEnds === undefined ? {} : { orEnds: draft.orEnds }),
  }));
  const messages = requests
    .flatMap((request) => request.messages.map((message) => ({ message, request })))
    .sort((a, b) => a.message.index - b.message.index);
  return { requests, messages };
}
