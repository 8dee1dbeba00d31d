/** Every line of the truth ledger on made-up facts: silent when all is well, and caught by its own line when not. */
import assert from 'node:assert/strict';
import type { Facts, LetterFact, RowFact } from '../chaos/facts.ts';
import type { FaultWindow, Touch } from '../chaos/history.ts';
import { compare, LINES, type Line, type Told } from '../chaos/ledger.ts';
import type { PlannedRequest } from '../chaos/mix.ts';

const GOOD = 'row-good';
const FAILS = 'row-fails';
const TWO = 'row-two';

const request = (more: Partial<PlannedRequest> & Pick<PlannedRequest, 'correlationId' | 'rowId'>): PlannedRequest => ({
  kind: 'made up',
  messages: [],
  apiRow: null,
  script: [],
  videoLooks: 0,
  ends: { statuses: ['completed'], retryCount: 0, letter: null },
  ...more,
});
const body = (topic: string): Buffer => Buffer.from(JSON.stringify({ topic }));

const REQUESTS: readonly PlannedRequest[] = [
  request({ correlationId: 'good', rowId: GOOD, messages: [{ index: 0, body: body('good'), content: 'a' }] }),
  request({
    correlationId: 'fails',
    rowId: FAILS,
    messages: [{ index: 1, body: body('fails'), content: 'a' }],
    ends: { statuses: ['failed'], retryCount: 1, letter: 'generation_failed' },
  }),
  request({
    correlationId: 'poison',
    rowId: null,
    messages: [{ index: 2, body: Buffer.from('{'), content: 'a' }],
    ends: { statuses: [], retryCount: null, letter: 'not_json' },
  }),
  request({
    correlationId: 'two',
    rowId: TWO,
    messages: [
      { index: 3, body: body('two'), content: 'a' },
      { index: 4, body: body('other'), content: 'b' },
    ],
    ends: { statuses: ['completed'], retryCount: 0, letter: 'conflicting_duplicate' },
  }),
];

const row = (id: string, more: Partial<RowFact> = {}): RowFact => ({
  id,
  status: 'completed',
  retryCount: 0,
  ownerToken: `run of ${id}`,
  topic: id.replace('row-', ''),
  scriptText: null,
  ...more,
});
const letter = (index: number, reason: string, text: Buffer, more: Partial<LetterFact> = {}): LetterFact => ({
  index,
  reason,
  dlqId: `letter of ${String(index)}`,
  body: text,
  at: 0,
  ...more,
});
const call = (rowId: string, startedAt: number, status: number | null = 200): Facts['calls'][number] => ({
  rowId,
  stage: 'script',
  worker: 1,
  startedAt,
  endedAt: startedAt + 100,
  status,
});
const event = (rowId: string, from: string | null, to: string): Facts['events'][number] => ({
  rowId,
  from,
  to,
  owner: `run of ${rowId}`,
});

const SOUND: Facts = {
  rows: new Map(
    [
      row(GOOD, { scriptText: 'Lesson 1 on good' }),
      row(FAILS, { status: 'failed', retryCount: 1 }),
      row(TWO, { scriptText: 'Lesson 3 on two' }),
    ].map((one) => [one.id, one]),
  ),
  events: [
    event(GOOD, 'generating_script', 'completed'),
    event(FAILS, 'generating_script', 'failed'),
    event(TWO, 'generating_script', 'completed'),
  ],
  lateWrites: [],
  letters: [
    letter(1, 'generation_failed', body('fails')),
    letter(2, 'not_json', Buffer.from('{')),
    letter(4, 'conflicting_duplicate', body('other')),
  ],
  openWorkflows: [],
  unacked: [],
  lettersLeft: 0,
  deliveries: new Map([['m1', 1]]),
  calls: [call(GOOD, 1_000), call(FAILS, 1_000, 422), call(TWO, 1_000)],
  exits: [],
};

const withRow = (id: string, more: Partial<RowFact>): Facts => {
  const found = SOUND.rows.get(id);
  assert.ok(found, id);
  return { ...SOUND, rows: new Map([...SOUND.rows, [id, { ...found, ...more }]]) };
};
const without = (id: string): Facts => ({ ...SOUND, rows: new Map([...SOUND.rows].filter(([key]) => key !== id)) });
const lettersBut = (index: number, ...others: LetterFact[]): Facts => ({
  ...SOUND,
  letters: [...SOUND.letters.filter((one) => one.index !== index), ...others],
});

const lines = (facts: Facts, more: Partial<Told> = {}): Line[] =>
  compare({ requests: REQUESTS, published: new Map([['m1', 0]]), facts, faults: [], touches: [], ...more }).map(
    ({ line }) => line,
  );
const touched = (rowId: string, ...what: Touch['what'][]): Partial<Told> => ({
  touches: what.map((each) => ({ rowId, what: each, at: 0 })),
});
const fault = (more: Partial<FaultWindow> = {}): Partial<Told> => ({
  faults: [{ name: 'a fault', from: 1_050, to: 1_060, redelivers: false, ...more }],
});

const BROKEN: readonly [what: string, line: Line, facts: Facts, more?: Partial<Told>][] = [
  ['a row that is missing', 'lost', without(GOOD)],
  ['a letter of a failed run that is missing', 'lost', lettersBut(1)],
  ['a letter of poison that is missing', 'lost', lettersBut(2)],
  ['a conflict that vanished', 'lost', lettersBut(4)],
  ['a row that is open', 'stuck', withRow(GOOD, { status: 'generating_script', scriptText: null })],
  ['a run that is open', 'stuck', { ...SOUND, openWorkflows: ['content-request/row-good'] }],
  ['a message that is left', 'stuck', { ...SOUND, unacked: ['m1'] }],
  ['a letter that is left', 'stuck', { ...SOUND, lettersLeft: 1 }],
  ['a healthy request that failed', 'wrong end', withRow(GOOD, { status: 'failed' })],
  ['one that was cancelled by nobody', 'wrong end', withRow(GOOD, { status: 'cancelled' })],
  ['a letter that was sent again and failed in silence', 'wrong end', SOUND, touched(FAILS, 'letter replayed')],
  ['infrastructure that was counted', 'wrong end', withRow(GOOD, { retryCount: 1 })],
  ['a failure that was not counted', 'wrong end', withRow(FAILS, { retryCount: 0 })],
  ['one try too many', 'wrong end', { ...SOUND, calls: [...SOUND.calls, call(FAILS, 5_000, 422)] }],
  [
    'a second completion',
    'twice',
    { ...SOUND, events: [...SOUND.events, event(GOOD, 'generating_script', 'completed')] },
  ],
  ['a second failure', 'twice', { ...SOUND, events: [...SOUND.events, event(FAILS, 'pending', 'failed')] }],
  [
    'a write on a completed row',
    'twice',
    {
      ...SOUND,
      lateWrites: [{ rowId: GOOD, from: 'completed', to: 'completed', oldOwner: 'run 2', newOwner: 'run 2' }],
    },
  ],
  [
    'a failed row that its own run opens again',
    'twice',
    { ...SOUND, lateWrites: [{ rowId: FAILS, from: 'failed', to: 'pending', oldOwner: 'run 1', newOwner: 'run 1' }] },
  ],
  ["another request's script", 'wrong content', withRow(GOOD, { scriptText: 'Lesson 3 on good' })],
  ['a script on another topic', 'wrong content', withRow(GOOD, { scriptText: 'Lesson 1 on two' })],
  ['a script that was bought again', 'paid twice', { ...SOUND, calls: [...SOUND.calls, call(GOOD, 9_000)] }],
  [
    'one that was bought again while another worker was lost',
    'paid twice',
    { ...SOUND, calls: [...SOUND.calls, call(GOOD, 9_000)] },
    fault({ workers: [2] }),
  ],
  [
    'one that was bought again long after a fault',
    'paid twice',
    { ...SOUND, calls: [...SOUND.calls, call(GOOD, 9_000)] },
    fault({ workers: [1], from: 8_000, to: 8_500 }),
  ],
  ['a letter of a healthy request', 'undue letter', lettersBut(0, letter(0, 'generation_failed', body('good')))],
  ['a wrong reason', 'undue letter', lettersBut(1, letter(1, 'attempts_exhausted', body('fails')))],
  ['another body', 'undue letter', lettersBut(2, letter(2, 'not_json', Buffer.from('{ ')))],
  ['a copy without a fault', 'undue letter', { ...SOUND, letters: [...SOUND.letters, ...SOUND.letters.slice(0, 1)] }],
  [
    'a second letter',
    'undue letter',
    {
      ...SOUND,
      letters: [...SOUND.letters, letter(1, 'generation_failed', body('fails'), { dlqId: 'another' })],
    },
  ],
  [
    'a letter for the content that won',
    'undue letter',
    { ...SOUND, letters: [...SOUND.letters, letter(3, 'conflicting_duplicate', body('two'))] },
  ],
  ['a second delivery without a fault', 'delivered too often', { ...SOUND, deliveries: new Map([['m1', 2]]) }],
  [
    'a worker that ended by itself',
    'process ended',
    { ...SOUND, exits: [{ role: 'worker', name: 'worker-1', how: 0, at: 0, ordered: false }] },
  ],
  [
    'a bridge with a stack',
    'process ended',
    { ...SOUND, exits: [{ role: 'bridge', name: 'bridge-1', how: 1, at: 0, ordered: true }] },
  ],
];

describe('truth ledger', () => {
  it('says nothing when all is well', () => assert.deepEqual(lines(SOUND), []));

  for (const [what, line, facts, more] of BROKEN) {
    it(`${line}: ${what}`, () => {
      const found = lines(facts, more);
      assert.ok(found.includes(line), `found ${found.join() || 'nothing'}`);
    });
  }

  it('each of its lines has a twin here', () => {
    assert.deepEqual(
      LINES.filter((line) => !BROKEN.some(([, caught]) => caught === line)),
      [],
    );
  });

  const again = { ...SOUND, calls: [...SOUND.calls, call(GOOD, 9_000)] };
  const EXCUSED: readonly [what: string, facts: Facts, more: Partial<Told>][] = [
    ['a worker that was killed during its call', again, fault({ workers: [1] })],
    ['an operator who reset the run', again, touched(GOOD, 'reset')],
    ['cancelled by an operator', withRow(GOOD, { status: 'cancelled' }), touched(GOOD, 'cancelled')],
    [
      'a copy of a letter, and a bridge that was killed',
      { ...SOUND, letters: [...SOUND.letters, ...SOUND.letters.slice(0, 1)] },
      fault({ redelivers: true }),
    ],
    [
      'a second delivery, and a bridge that was killed',
      { ...SOUND, deliveries: new Map([['m1', 2]]) },
      fault({ redelivers: true }),
    ],
    [
      'a failed row that another run took over',
      { ...SOUND, lateWrites: [{ rowId: FAILS, from: 'failed', to: 'pending', oldOwner: 'run 1', newOwner: 'run 2' }] },
      {},
    ],
    [
      'a bridge that ends for an outage',
      { ...SOUND, exits: [{ role: 'bridge', name: 'bridge-2', how: 3, at: 0, ordered: false }] },
      {},
    ],
  ];
  for (const [what, facts, more] of EXCUSED) {
    it(`excuses ${what}`, () => assert.deepEqual(lines(facts, more), []));
  }
});
