/** What becomes of a message whose row exists: the whole space of rows, against design section 5 and its invariants. */
import assert from 'node:assert/strict';
import { decideOnRow, type FoundRow } from '../../src/activities/content-requests.ts';
import { OPEN_STATUSES, STATUSES, TERMINAL_STATUSES, type Status } from '../../src/contract/status.ts';
import { recordInput } from '../support/content-rows.ts';

const ME = 'run-mine';
const INPUT = recordInput('00000000-0000-4000-8000-000000000001', ME, { gradeLevel: '9' });

const OWNERS = { mine: ME, nobody: null, another: 'run-other' } as const;
const STUDENTS = { same: INPUT.request.studentId, other: 'student-2' } as const;
const TOPIC = INPUT.request.topic;
/** Whether the row's content is the message's, and how a row can say so. */
const CONTENTS = [
  { what: 'same hash', same: true, content_sha256: 'hash-1', topic: 'another spelling', grade_level: null },
  { what: 'other hash', same: false, content_sha256: 'hash-2', topic: TOPIC, grade_level: '9' },
  { what: 'no hash, same text and grade', same: true, content_sha256: null, topic: TOPIC, grade_level: '9' },
  { what: 'no hash, other text', same: false, content_sha256: null, topic: 'Gravity', grade_level: '9' },
  { what: 'no hash, other grade', same: false, content_sha256: null, topic: TOPIC, grade_level: '10' },
  { what: 'no hash, no grade', same: false, content_sha256: null, topic: TOPIC, grade_level: null },
] as const;

type Content = Pick<FoundRow, 'content_sha256' | 'topic' | 'grade_level'>;

interface Case {
  readonly status: Status;
  readonly owner: keyof typeof OWNERS;
  readonly student: keyof typeof STUDENTS;
  readonly content: (typeof CONTENTS)[number];
  readonly republished: boolean;
  /** The very message that the row's last run was started for. */
  readonly redelivered: boolean;
}

const CASES: readonly Case[] = STATUSES.flatMap((status) =>
  (['mine', 'nobody', 'another'] as const).flatMap((owner) =>
    (['same', 'other'] as const).flatMap((student) =>
      CONTENTS.flatMap((content) =>
        [true, false].flatMap((republished) =>
          [true, false].map((redelivered) => ({ status, owner, student, content, republished, redelivered })),
        ),
      ),
    ),
  ),
);

function rowOf({ status, owner, student, content, republished, redelivered }: Case): FoundRow {
  const { content_sha256, topic, grade_level }: Content = content;
  return {
    status,
    owner_token: OWNERS[owner],
    student_id: STUDENTS[student],
    content_sha256,
    topic,
    grade_level,
    published_after_failure: republished,
    message_id: redelivered ? INPUT.messageId : 'another-message',
    publish_time: INPUT.publishTime,
    owned_since: null,
  };
}

const isOpen = (status: Status): boolean => (OPEN_STATUSES as readonly Status[]).includes(status);

/** A decision in a word. */
function decide(each: Case): string {
  const decision = decideOnRow(rowOf(each), INPUT);
  return decision.kind === 'conflict' ? decision.code : decision.kind;
}

/** The design's table, written a second time: whoever changes one must change the other. */
function designed({ status, owner, student, content, republished, redelivered }: Case): string {
  if (owner === 'mine') return isOpen(status) ? 'owned' : 'row-already-terminal';
  if (student === 'other') return 'student_mismatch';
  if (status === 'failed') {
    if (redelivered) return 'late-redelivery';
    if (republished) return 'take-over';
    if (!content.same) return 'conflicting_duplicate';
    return owner === 'nobody' ? 'take-over' : 'late-redelivery';
  }
  if (!content.same) return 'conflicting_duplicate';
  return isOpen(status) ? 'take-over' : 'duplicate';
}

describe('decideOnRow', () => {
  for (const status of STATUSES) {
    const cases = CASES.filter((each) => each.status === status);
    it(`${status}: ${String(cases.length)} rows, as designed`, () => {
      for (const each of cases) assert.equal(decide(each), designed(each), JSON.stringify(each));
    });
  }

  const always = (what: string, holds: (decision: string, each: Case) => boolean): void => {
    it(what, () => {
      for (const each of CASES) assert.ok(holds(decide(each), each), `${decide(each)}: ${JSON.stringify(each)}`);
    });
  };
  always(
    "never touches another student's row",
    (decision, { student, owner }) => student === 'same' || owner === 'mine' || decision === 'student_mismatch',
  );
  always(
    'takes over an ended row only when it failed, and the message was published after that or no run ever had the row',
    (decision, { status, owner, republished }) =>
      decision !== 'take-over' || isOpen(status) || (status === 'failed' && (republished || owner === 'nobody')),
  );
  always(
    'other content is taken over only into a failed row, and is never called a duplicate',
    (decision, { status, content }) =>
      content.same || (decision !== 'duplicate' && (decision !== 'take-over' || status === 'failed')),
  );
  always(
    'ends a message in silence only where a run has worked on it, or on the same content',
    (decision, { owner, content, redelivered }) =>
      decision !== 'late-redelivery' || redelivered || (owner === 'another' && content.same),
  );
  always('is its own only when the token is', (decision, { owner }) => decision !== 'owned' || owner === 'mine');
  always(
    'the time of publication matters to a failed row only',
    (decision, each) => each.status === 'failed' || decision === decide({ ...each, republished: !each.republished }),
  );
  always(
    'a duplicate is one of a row that has ended, and not by a failure',
    (decision, { status }) => decision !== 'duplicate' || ['completed', 'cancelled'].includes(status),
  );

  it('a letter that says so is a replay, whatever the clocks say: in every row as if it were published after the failure', () => {
    for (const each of CASES) {
      const replayed = decideOnRow(rowOf(each), { ...INPUT, replayed: true });
      assert.deepEqual(replayed, decideOnRow(rowOf({ ...each, republished: true }), INPUT), JSON.stringify(each));
    }
  });

  it('what a later run owns is not taken over by an earlier one; nothing else depends on who asked when', () => {
    let tooLate = 0;
    for (const each of CASES) {
      const decision = decideOnRow(rowOf(each), INPUT);
      const owned = (owned_since: string): unknown => decideOnRow({ ...rowOf(each), owned_since }, INPUT).kind;
      const expected = decision.kind === 'take-over' ? 'too-late' : decision.kind;
      assert.equal(owned('2026-11-24T09:00:01.001Z'), expected, JSON.stringify(each));
      assert.equal(owned(INPUT.askedAt), decision.kind);
      assert.equal(owned('2026-11-24T09:00:00.999Z'), decision.kind);
      if (expected === 'too-late') tooLate += 1;
    }
    assert.ok(tooLate > 0);
  });

  it('takes "None", which the API writes where a request has no grade, for no grade', () => {
    const input = recordInput(INPUT.rowId, ME);
    const row = {
      ...rowOf({
        status: 'pending',
        owner: 'nobody',
        student: 'same',
        content: CONTENTS[2],
        republished: false,
        redelivered: false,
      }),
    };
    assert.equal(decideOnRow({ ...row, grade_level: 'None' }, input).kind, 'take-over');
    assert.equal(decideOnRow({ ...row, grade_level: null }, input).kind, 'take-over');
    assert.equal(decideOnRow({ ...row, grade_level: '9' }, input).kind, 'conflict');
  });

  it('names the status of a row that it finds ended under its own token', () => {
    for (const status of TERMINAL_STATUSES) {
      const row = rowOf({
        status,
        owner: 'mine',
        student: 'same',
        content: CONTENTS[0],
        republished: true,
        redelivered: false,
      });
      assert.deepEqual(decideOnRow(row, INPUT), { kind: 'row-already-terminal', status });
    }
  });
});
