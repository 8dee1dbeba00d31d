/** Every line of the truth ledger on made-up facts: silent when all is well, and caught by its own line when not. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { WorkflowNotFoundError } from '@temporalio/client';
import { parse, rowIdOf } from '../../src/contract/message.ts';
import {
  deliveries,
  leftLetters,
  type DeliveryFact,
  type EventFact,
  type Facts,
  type LetterFact,
  type RowFact,
} from '../chaos/facts.ts';
import { FAULTS } from '../chaos/faults.ts';
import { Log, type FaultWindow, type Publication, type Touch } from '../chaos/history.ts';
import { compare, LINES, type Line, type Told } from '../chaos/ledger.ts';
import { makePlan, type PlannedRequest } from '../chaos/mix.ts';
import { cancelling, giveOrder, resetting, terminating, type Order, type RunHandle } from '../chaos/orders.ts';
import { seeded } from '../chaos/random.ts';
import type { Outcome } from '../chaos/run.ts';
import { demandsOfAll } from '../chaos/scenarios.ts';
import type { Exit } from '../chaos/supervised.ts';
import type { World } from '../chaos/world.ts';

const GOOD = 'row-good';
const FAILS = 'row-fails';
const TWO = 'row-two';
const API = 'row-api';
const SHARED = 'row-shared';

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
  request({
    correlationId: 'api',
    rowId: API,
    messages: [
      { index: 5, body: body('api'), content: 'wrong' },
      { index: 6, body: body('api'), content: 'right' },
    ],
    ends: {
      statuses: ['completed'],
      retryCount: 0,
      letter: null,
      letters: { wrong: ['student_mismatch', 'conflicting_duplicate'] },
    },
  }),
  request({
    correlationId: 'shared',
    rowId: SHARED,
    messages: [{ index: 7, body: body('shared'), content: 'a' }],
    orEnds: { statuses: ['pending'], retryCount: null, letter: 'correlation_id_taken' },
  }),
];

const PUBLISHED: readonly Publication[] = [0, 1, 2, 3, 4, 5, 6, 7].map((index) => ({
  messageId: `m${String(index)}`,
  index,
  at: 900,
}));

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
  about: `m${String(index)}`,
  reason,
  dlqId: `letter of ${String(index)}`,
  body: text,
  at: 2_000,
  ...more,
});
const call = (rowId: string, startedAt: number, status: number | null = 200): Facts['calls'][number] => ({
  rowId,
  stage: 'script',
  worker: 1,
  key: rowId,
  startedAt,
  endedAt: startedAt + 100,
  status,
});
const video = (startedAt: number, key = `${GOOD}/video`): Facts['calls'][number] => ({
  ...call(GOOD, startedAt, 202),
  stage: 'video',
  key,
});
const event = (rowId: string, from: string | null, to: string, more: Partial<EventFact> = {}): EventFact => ({
  rowId,
  from,
  to,
  owner: `run of ${rowId}`,
  at: 950,
  ...more,
});
const delivery = (times: number, more: Partial<DeliveryFact> = {}): DeliveryFact => ({
  times,
  lastAt: 1_100,
  givenBack: 0,
  ...more,
});
const exit = (more: Partial<Exit>): Facts => ({
  ...SOUND,
  exits: [{ role: 'bridge', name: 'bridge-2', how: 0, at: 1_000, ordered: false, follows: false, ...more }],
});

const SOUND: Facts = {
  rows: new Map(
    [
      row(GOOD, { scriptText: 'Lesson 1 on good' }),
      row(FAILS, { status: 'failed', retryCount: 1 }),
      row(TWO, { scriptText: 'Lesson 3 on two' }),
      row(API, { scriptText: 'Lesson 4 on api' }),
      row(SHARED, { scriptText: 'Lesson 5 on shared' }),
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
    letter(5, 'student_mismatch', body('api')),
  ],
  openWorkflows: [],
  unacked: [],
  lettersLeft: 0,
  deliveries: new Map([['m0', delivery(1)]]),
  calls: [call(GOOD, 1_000), call(FAILS, 1_000, 422), call(TWO, 1_000), call(API, 1_000), call(SHARED, 1_000)],
  exits: [],
};

const withRow = (id: string, more: Partial<RowFact>, as = id): Facts => {
  const found = SOUND.rows.get(id);
  assert.ok(found, id);
  return { ...SOUND, rows: new Map([...SOUND.rows, [as, { ...found, ...more }]]) };
};
const without = (id: string): Facts => ({ ...SOUND, rows: new Map([...SOUND.rows].filter(([key]) => key !== id)) });
const lettersBut = (index: number, ...others: LetterFact[]): Facts => ({
  ...SOUND,
  letters: [...SOUND.letters.filter((one) => one.index !== index), ...others],
});

const lines = (facts: Facts, more: Partial<Told> = {}): Line[] =>
  compare({ requests: REQUESTS, published: PUBLISHED, facts, faults: [], touches: [], ...more }).map(
    ({ line }) => line,
  );
const touched = (rowId: string, ...what: Touch['what'][]): Partial<Told> => ({
  touches: what.map((each) => ({ rowId, what: each, at: 0 })),
});
/** A touch that says so, and the publishing itself, with a message id of its own. */
const publishedAgain = (rowId: string, index: number): Partial<Told> => ({
  ...touched(rowId, 'published again'),
  published: [...PUBLISHED, { messageId: `again ${String(index)}`, index, at: 5_000 }],
});
const calls = (...more: Facts['calls'][number][]): Facts => ({ ...SOUND, calls: [...SOUND.calls, ...more] });
const events = (...more: EventFact[]): Facts => ({ ...SOUND, events: [...SOUND.events, ...more] });
const moreLetters = (...more: LetterFact[]): Facts => ({ ...SOUND, letters: [...SOUND.letters, ...more] });
const delivered = (fact: DeliveryFact, id = 'm0'): Facts => ({ ...SOUND, deliveries: new Map([[id, fact]]) });
const anotherLetter = letter(1, 'generation_failed', body('fails'), { dlqId: 'another' });
const judgedAgain = letter(5, 'conflicting_duplicate', body('api'), { dlqId: 'of the bridge', at: 2_500 });
const copy = letter(1, 'generation_failed', body('fails'), { at: 2_500 });
/** So many requests that are invalid, each handed to a bridge once. */
const invalid = (count: number): { facts: Pick<Facts, 'deliveries' | 'letters'>; told: Partial<Told> } => {
  const requests = Array.from({ length: count }, (_, number) =>
    request({
      correlationId: `invalid ${String(number)}`,
      rowId: null,
      messages: [{ index: 100 + number, body: Buffer.from('{'), content: 'a' }],
      ends: { statuses: [], retryCount: null, letter: 'not_json' },
    }),
  );
  const indexes = requests.flatMap(({ messages }) => messages.map(({ index }) => index));
  return {
    facts: {
      deliveries: new Map(indexes.map((index) => [`m${String(index)}`, delivery(1)])),
      letters: indexes.map((index) => letter(index, 'not_json', Buffer.from('{'))),
    },
    told: {
      requests: [...REQUESTS, ...requests],
      published: [...PUBLISHED, ...indexes.map((index) => ({ messageId: `m${String(index)}`, index, at: 900 }))],
    },
  };
};
const alarm = (count: number): Facts => {
  const { facts } = invalid(count);
  return { ...exit({ how: 5 }), deliveries: facts.deliveries, letters: [...SOUND.letters, ...facts.letters] };
};
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
  [
    'infrastructure that was counted twice',
    'wrong end',
    { ...withRow(GOOD, { retryCount: 2 }), calls: [...SOUND.calls, call(GOOD, 500, null)] },
    fault({ workers: [1], from: 400, to: 700 }),
  ],
  [
    'a call without an answer that was counted, and no fault hit it',
    'wrong end',
    { ...withRow(GOOD, { retryCount: 1 }), calls: [...SOUND.calls, call(GOOD, 500, null)] },
  ],
  ['a failure that was not counted', 'wrong end', withRow(FAILS, { retryCount: 0 })],
  ['one try too many', 'wrong end', calls(call(FAILS, 5_000, 422))],
  [
    'one try too many of a run whose message was published again',
    'wrong end',
    calls(call(FAILS, 5_000, 422)),
    publishedAgain(FAILS, 1),
  ],
  ['a row that nobody planned', 'wrong end', withRow(GOOD, { id: 'nobody' }, 'nobody')],
  [
    'a second completion',
    'twice',
    { ...SOUND, events: [...SOUND.events, event(GOOD, 'generating_script', 'completed')] },
  ],
  ['a second failure', 'twice', events(event(FAILS, 'pending', 'failed'))],
  [
    'a second failure of a run whose message was published again',
    'twice',
    events(event(FAILS, 'pending', 'failed')),
    publishedAgain(FAILS, 1),
  ],
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
  ['a script that was bought again', 'paid twice', calls(call(GOOD, 9_000))],
  [
    'one that was bought again by the run whose message was published again',
    'paid twice',
    calls(call(GOOD, 9_000)),
    publishedAgain(GOOD, 0),
  ],
  [
    'one that was bought again by a run that was terminated',
    'paid twice',
    calls(call(GOOD, 9_000)),
    touched(GOOD, 'terminated'),
  ],
  [
    'one that was bought three times by two runs',
    'paid twice',
    {
      ...calls(call(GOOD, 9_000), call(GOOD, 9_500)),
      ...events(event(GOOD, 'failed', 'pending', { owner: 'run 2', at: 8_000 })),
      calls: calls(call(GOOD, 9_000), call(GOOD, 9_500)).calls,
    },
  ],
  ['a video that one run asked for twice, as another', 'paid twice', calls(video(2_000), video(3_000, 'another key'))],
  [
    'one that was bought again while another worker was lost',
    'paid twice',
    calls(call(GOOD, 9_000)),
    fault({ workers: [2] }),
  ],
  [
    'one that was bought again long after a fault',
    'paid twice',
    calls(call(GOOD, 19_000)),
    fault({ workers: [1], from: 18_000, to: 18_500 }),
  ],
  ['a letter of a healthy request', 'undue letter', lettersBut(0, letter(0, 'generation_failed', body('good')))],
  ['a wrong reason', 'undue letter', lettersBut(1, letter(1, 'attempts_exhausted', body('fails')))],
  ['another body', 'undue letter', lettersBut(2, letter(2, 'not_json', Buffer.from('{ ')))],
  ['a copy without a fault', 'undue letter', moreLetters(copy)],
  [
    'a copy long after a fault',
    'undue letter',
    moreLetters({ ...copy, at: 99_000 }),
    fault({ from: -39_000, to: -38_000, redelivers: true }),
  ],
  [
    'a copy, and a fault after it',
    'undue letter',
    moreLetters(copy),
    fault({ from: 2_600, to: 3_000, redelivers: true }),
  ],
  ['a second letter', 'undue letter', moreLetters(anotherLetter)],
  ['one that was judged twice, and no fault had it come again', 'undue letter', moreLetters(judgedAgain)],
  [
    'a second letter with the same reason, and a bridge that was killed',
    'undue letter',
    moreLetters(anotherLetter),
    fault({ from: 1_900, to: 2_100, redelivers: true }),
  ],
  [
    'a third letter of one that was judged twice',
    'undue letter',
    moreLetters(judgedAgain, { ...judgedAgain, dlqId: 'and again' }),
    fault({ from: 1_900, to: 2_100, redelivers: true }),
  ],
  [
    'a second letter of a request that somebody touched',
    'undue letter',
    moreLetters(anotherLetter),
    touched(FAILS, 'reset', 'published again'),
  ],
  [
    'a second letter of a run that was terminated, whose message came once',
    'undue letter',
    moreLetters(anotherLetter),
    touched(FAILS, 'terminated'),
  ],
  ['a letter for the content that won', 'undue letter', moreLetters(letter(3, 'conflicting_duplicate', body('two')))],
  ['a letter of a message that nobody planned', 'undue letter', moreLetters(letter(77, 'not_json', body('x')))],
  [
    'a letter about no message',
    'undue letter',
    moreLetters({ ...letter(0, 'native', body('x')), index: null, about: null }),
  ],
  [
    'a letter that is about another message',
    'undue letter',
    lettersBut(1, letter(1, 'generation_failed', body('fails'), { about: 'm0' })),
  ],
  [
    'a native letter of a healthy request',
    'undue letter',
    moreLetters(letter(0, 'native', body('good'), { about: null })),
  ],
  [
    'a letter of the right message, its wrong twin beside it',
    'undue letter',
    moreLetters(letter(6, 'conflicting_duplicate', body('api'))),
  ],
  ['a wrong reason for the wrong one', 'undue letter', lettersBut(5, letter(5, 'correlation_id_taken', body('api')))],
  ['a wrong message that vanished', 'lost', lettersBut(5)],
  ['a wrong message that vanished, and a cancel', 'lost', lettersBut(5), touched(API, 'cancelled')],
  [
    'a right message that vanished beside the wrong one',
    'stuck',
    withRow(API, { status: 'pending', scriptText: null }),
  ],
  [
    'a refused message without a letter, whose row waits',
    'stuck',
    withRow(SHARED, { status: 'pending', scriptText: null }),
  ],
  [
    'a letter of one that was done all the same',
    'undue letter',
    moreLetters(letter(7, 'correlation_id_taken', body('shared'))),
  ],
  ['a letter that is missing, a cancel and a row that has failed', 'lost', lettersBut(1), touched(FAILS, 'cancelled')],
  ['a second delivery without a fault', 'delivered too often', delivered(delivery(2))],
  [
    'a second delivery, and faults before it was published',
    'delivered too often',
    delivered(delivery(2)),
    { faults: Array.from({ length: 24 }, () => ({ name: 'early', from: -9_000, to: -8_000, redelivers: true })) },
  ],
  [
    'a second delivery, and a fault after it',
    'delivered too often',
    delivered(delivery(2)),
    fault({ from: 1_200, to: 1_300, redelivers: true }),
  ],
  [
    'a second delivery, and a bridge that ended after it',
    'delivered too often',
    { ...exit({ at: 1_200 }), ...{ deliveries: delivered(delivery(2)).deliveries } },
  ],
  ['a third delivery for one short fault', 'delivered too often', delivered(delivery(3)), fault({ redelivers: true })],
  [
    'given back although no other of its request was published',
    'delivered too often',
    delivered(delivery(2, { givenBack: 1 })),
  ],
  [
    'delivered again more often than it was given back',
    'delivered too often',
    delivered(delivery(3, { givenBack: 1 }), 'm6'),
  ],
  [
    'more deliveries than 25, with a cause for each',
    'delivered too often',
    delivered(delivery(26)),
    { faults: Array.from({ length: 25 }, () => ({ name: 'short', from: 900, to: 1_000, redelivers: true })) },
  ],
  [
    'given back more often than its life explains',
    'delivered too often',
    delivered(delivery(30, { givenBack: 29, lastAt: 280_000 }), 'm6'),
  ],
  ['a worker that ended by itself', 'process ended', exit({ role: 'worker' })],
  ['a bridge with a stack', 'process ended', exit({ how: 1, ordered: true })],
  ['a bridge without Temporal, which was there', 'process ended', exit({ how: 3 })],
  [
    'a bridge without Temporal, and Pub/Sub was away',
    'process ended',
    exit({ how: 3 }),
    fault({ from: 900, to: 1_100, outage: 'pubsub' }),
  ],
  [
    'a bridge without Temporal, long after an outage',
    'process ended',
    exit({ how: 3, at: 40_000 }),
    fault({ outage: 'temporal' }),
  ],
  ['a bridge without Temporal, before an outage', 'process ended', exit({ how: 3 }), fault({ outage: 'temporal' })],
  [
    'a bridge without Pub/Sub, which was there',
    'process ended',
    exit({ how: 4 }),
    fault({ from: 900, to: 1_100, outage: 'temporal' }),
  ],
  ['a bridge that follows and ends by itself', 'process ended', exit({ follows: true })],
  [
    'a bridge that follows and does not sit out an outage',
    'process ended',
    exit({ follows: true, how: 3 }),
    fault({ from: 900, to: 1_100, outage: 'temporal' }),
  ],
  ['an alarm for 19 invalid messages', 'process ended', alarm(19), invalid(19).told],
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

  const again = calls(call(GOOD, 9_000));
  const cancelledFailure: Facts = {
    ...withRow(FAILS, { status: 'cancelled', retryCount: 1 }),
    letters: lettersBut(1).letters,
  };
  const EXCUSED: readonly [what: string, facts: Facts, more: Partial<Told>][] = [
    ['a worker that was killed during its call', again, fault({ workers: [1] })],
    [
      'the attempt that infrastructure broke off ten times, at last in a call',
      { ...withRow(GOOD, { retryCount: 1 }), calls: [...SOUND.calls, call(GOOD, 500, null)] },
      fault({ workers: [1], from: 400, to: 700 }),
    ],
    ['an operator who reset the run', again, touched(GOOD, 'reset')],
    ['cancelled by an operator', withRow(GOOD, { status: 'cancelled' }), touched(GOOD, 'cancelled')],
    [
      'what a second run of the request buys',
      { ...again, events: events(event(GOOD, 'failed', 'pending', { owner: 'run 2', at: 8_000 })).events },
      publishedAgain(GOOD, 0),
    ],
    ['a video that is asked for again by the same key', calls(video(2_000), video(3_000)), {}],
    [
      'a second failure by a second run, with a letter of its own',
      {
        ...moreLetters(anotherLetter),
        events: events(
          event(FAILS, 'failed', 'pending', { owner: 'run 2', at: 6_000 }),
          event(FAILS, 'pending', 'failed', { owner: 'run 2', at: 7_000 }),
        ).events,
      },
      publishedAgain(FAILS, 1),
    ],
    [
      'a second letter, where a run was terminated and its message came once more',
      { ...moreLetters(anotherLetter), deliveries: new Map([['m1', delivery(2)]]) },
      { ...touched(FAILS, 'terminated'), ...fault({ redelivers: true }) },
    ],
    [
      'one that was judged twice: refused by a run, and by the bridge after its ack was lost',
      moreLetters(judgedAgain),
      fault({ from: 1_900, to: 2_100, redelivers: true }),
    ],
    [
      'a copy of a letter, and a bridge that was killed',
      moreLetters(copy),
      fault({ from: 1_900, to: 2_100, redelivers: true }),
    ],
    [
      'a letter that has lost its attribute',
      lettersBut(1, { ...letter(1, 'generation_failed', body('fails')), index: null }),
      {},
    ],
    ['a second delivery, and a bridge that was killed', delivered(delivery(2)), fault({ redelivers: true })],
    [
      'a second delivery, and a bridge that had just ended',
      { ...exit({ at: 1_000 }), deliveries: delivered(delivery(2)).deliveries },
      {},
    ],
    [
      'three deliveries in a fault of two leases',
      delivered(delivery(4, { lastAt: 21_500 })),
      fault({ from: 1_000, to: 21_500, redelivers: true }),
    ],
    [
      'one that was given back while another of its request was decided',
      delivered(delivery(2, { givenBack: 1 }), 'm6'),
      {},
    ],
    [
      'one that was given back every 10 s for five minutes of an outage',
      delivered(delivery(30, { givenBack: 29, lastAt: 310_000 }), 'm6'),
      {},
    ],
    [
      'one that was given back after it had been published again',
      delivered(delivery(2, { givenBack: 1 })),
      publishedAgain(GOOD, 0),
    ],
    [
      'a failed row that another run took over',
      { ...SOUND, lateWrites: [{ rowId: FAILS, from: 'failed', to: 'pending', oldOwner: 'run 1', newOwner: 'run 2' }] },
      {},
    ],
    ['a letter that is missing because the run was cancelled', cancelledFailure, touched(FAILS, 'cancelled')],
    [
      'a wrong message that met the run of the right one',
      lettersBut(5, letter(5, 'conflicting_duplicate', body('api'))),
      {},
    ],
    [
      'a message whose correlation_id was taken, and a row that waits on',
      {
        ...withRow(SHARED, { status: 'pending', scriptText: null }),
        letters: moreLetters(letter(7, 'correlation_id_taken', body('shared'))).letters,
      },
      {},
    ],
    ['a bridge that has drained', exit({ how: 0 }), {}],
    ['a bridge that ends for an outage', exit({ how: 3 }), fault({ from: 900, to: 1_100, outage: 'temporal' })],
    ['one that ends soon after it', exit({ how: 4, at: 20_000 }), fault({ outage: 'pubsub' })],
    ['a bridge that follows and was told to end', exit({ follows: true, ordered: true }), {}],
    ['an alarm for 20 invalid messages', alarm(20), invalid(20).told],
  ];
  for (const [what, facts, more] of EXCUSED) {
    it(`excuses ${what}`, () => assert.deepEqual(lines(facts, more), []));
  }
});

describe('truth ledger, what it is told', () => {
  const row_ = 'row';
  const notFound = (): Promise<never> => Promise.reject(new WorkflowNotFoundError('it has ended', 'id', 'run 1'));
  const run = (status: string, runId = 'run 1', more: object = {}): RunHandle =>
    ({
      workflowId: 'id',
      describe: () =>
        Promise.resolve({ runId, status: { name: status }, raw: { workflowExecutionInfo: { firstRunId: 'run 1' } } }),
      fetchHistory: () => Promise.resolve({ events: [{ eventId: 4, workflowTaskCompletedEventAttributes: {} }] }),
      cancel: notFound,
      terminate: notFound,
      ...more,
    }) as unknown as RunHandle;
  const cancelRequested = {
    fetchHistory: () => Promise.resolve({ events: [{ workflowExecutionCancelRequestedEventAttributes: {} }] }),
  };
  const resetOf = async (current: RunHandle, answer: () => Promise<unknown> = notFound): Promise<Order> => {
    const order = await resetting(run('RUNNING'), current, answer);
    assert.ok(order);
    return order;
  };
  const left = async (order: Order): Promise<Touch['what'][]> => {
    const log = new Log();
    await giveOrder(log, row_, 'run 1', order);
    return log.touches.map(({ what }) => what);
  };

  it('an order that met a run which had ended leaves no touch', async () => {
    assert.deepEqual(await left(cancelling(run('COMPLETED'))), []);
    assert.deepEqual(await left(terminating(run('COMPLETED'))), []);
    assert.deepEqual(await left(await resetOf(run('COMPLETED'))), []);
  });

  it('one that is done leaves its touch, also where the answer was lost', async () => {
    assert.deepEqual(await left(cancelling(run('RUNNING', 'run 1', { cancel: () => Promise.resolve({}) }))), [
      'cancelled',
    ]);
    assert.deepEqual(await left(cancelling(run('CANCELLED', 'run 1', cancelRequested))), ['cancelled']);
    assert.deepEqual(await left(terminating(run('TERMINATED'))), ['terminated']);
    assert.deepEqual(await left(await resetOf(run('RUNNING', 'run 2'))), ['reset']);
  });

  it('a reset that Temporal refuses leaves no touch, nor does one of which there is nothing to go back to', async () => {
    const refused = await resetOf(run('RUNNING'), () => Promise.reject(new Error('workflow cannot be reset')));
    assert.deepEqual(await left(refused), []);
    const young = run('RUNNING', 'run 1', { fetchHistory: () => Promise.resolve({ events: [] }) });
    assert.equal(await resetting(young, young, notFound), null);
  });

  it('nobody knows while Temporal is away: the touch stays', async () => {
    const away = (): Promise<never> => Promise.reject(new Error('14 UNAVAILABLE'));
    for (const handle of [run('RUNNING', 'run 1', { terminate: away }), run('RUNNING', 'run 1', { describe: away })]) {
      const log = new Log();
      await assert.rejects(giveOrder(log, row_, 'run 1', terminating(handle)), /UNAVAILABLE/);
      assert.equal(log.touches.length, 1);
    }
  });

  it('deliveries: attempts, the last pull, and what was given back', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'ledger-'));
    try {
      const file = path.join(folder, 'bridge.log');
      const line = (message: string, messageId: string, attempt: number, more: object = {}): string =>
        JSON.stringify({
          time: `2026-11-24T00:00:0${String(attempt)}.000Z`,
          message,
          messageId,
          deliveryAttempt: attempt,
          ...more,
        });
      const kept = 'message kept; will try again';
      const written = [
        line('message pulled', 'a', 1),
        line('message settled', 'a', 1, { outcome: 'run-is-undecided' }),
        line('message pulled', 'a', 2),
        line('message settled', 'a', 2, { outcome: 'started' }),
        line('message pulled', 'b', 1),
        line(kept, 'b', 1, { outcome: 'run-is-failing', attempt: 4 }),
        line(kept, 'b', 1, { outcome: 'run-is-failing', attempt: 5 }),
        line('message settled', 'b', 1, { outcome: 'run-is-failing' }),
        line('message pulled', 'c', 1),
        line(kept, 'c', 1, { outcome: 'temporal-outage', attempt: 5 }),
      ];
      await writeFile(file, `${written.join('\n')}\n`);
      const at = (second: number): number => Date.parse(`2026-11-24T00:00:0${String(second)}.000Z`);
      assert.deepEqual(
        await deliveries([file]),
        new Map([
          ['a', { times: 2, lastAt: at(2), givenBack: 1 }],
          ['b', { times: 1, lastAt: at(1), givenBack: 1 }],
          ['c', { times: 1, lastAt: at(1), givenBack: 0 }],
        ]),
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('letters that nobody has taken are pulled until none comes', async () => {
    const batches = [[{ ackId: '1', message: { messageId: 'x' } }], [{ ackId: '2', message: { messageId: 'y' } }], []];
    const acked: string[] = [];
    const subscriber = {
      pull: ({ subscription }: { subscription: string }) => {
        assert.equal(subscription, 'projects/p/subscriptions/letters');
        return Promise.resolve([{ receivedMessages: batches.shift() }]);
      },
      acknowledge: ({ ackIds }: { ackIds: string[] }) => Promise.resolve(acked.push(...ackIds)),
    };
    const world = { subscriber, project: 'p', names: { deadLetterSubscription: 'letters' } } as unknown as World;
    assert.deepEqual(
      (await leftLetters(world)).map(({ messageId }) => messageId),
      ['x', 'y'],
    );
    assert.deepEqual(acked, ['1', '2']);
  });

  it('faults on Temporal and on Pub/Sub say so', async () => {
    const outages = new Map<string, FaultWindow['outage']>();
    const aborted = AbortSignal.abort();
    const gate = {
      down: () => undefined,
      stall: () => undefined,
      slow: () => undefined,
      strand: () => undefined,
      up: () => undefined,
    };
    const gates = { workersToTemporal: gate, bridgesToTemporal: gate, bridgesToPubsub: gate, workersToPostgres: gate };
    const server = { end: () => Promise.resolve(), start: () => Promise.resolve() };
    const world = {
      gates,
      servers: { temporal: server, postgres: server },
      workers: [],
      query: () => Promise.resolve([]),
    };
    for (const { name, run: inject } of FAULTS.filter(({ on }) => ['temporal', 'pubsub', 'postgres'].includes(on))) {
      const log = new Log();
      await inject({ world, log, random: seeded(1), signal: aborted } as unknown as Parameters<typeof inject>[0]);
      outages.set(name, log.faults[0]?.outage);
    }
    for (const [name, outage] of outages) {
      const [server_] = name.split(' ');
      assert.equal(outage, { Temporal: 'temporal', 'Pub/Sub': 'pubsub' }[server_ ?? ''], name);
    }
    assert.ok(outages.size > 15, String(outages.size));
  });

  it('scenarios: a figure that is missing is a failure, where its scenario was run', () => {
    const behind = 'poison in front of good ones';
    const without_ = 'the same good ones without poison';
    const missed = (...ran: readonly [name: string, p95: number | undefined][]): number =>
      demandsOfAll(
        new Map(
          ran.map(([name, p95]) => [
            name,
            { figures: p95 === undefined ? {} : { 'p95 seconds': p95 } } as unknown as Outcome,
          ]),
        ),
      ).length;
    assert.equal(missed(), 0);
    assert.equal(missed([behind, 12]), 0);
    assert.equal(missed([behind, 12], [without_, 10]), 0);
    assert.equal(missed([behind, 16], [without_, 10]), 1);
    assert.equal(missed([behind, undefined], [without_, 10]), 1);
    assert.equal(missed([behind, Number.NaN], [without_, Number.NaN]), 2);
    assert.equal(missed([without_, 0]), 1);
  });

  it('the mix has the wrong message before the right one and after it, and both takers of one correlation_id', () => {
    const plan = makePlan(4_000, seeded(1), 'mix');
    const wrong = plan.requests.filter(({ ends }) => ends.letters !== undefined);
    const orders = new Set(wrong.map(({ messages }) => messages.map(({ content }) => content).join()));
    assert.deepEqual([...orders].sort(), ['right,wrong', 'wrong,right']);
    for (const { rowId, correlationId, apiRow, messages } of wrong) {
      assert.ok(apiRow);
      for (const { body: bytes, content } of messages) {
        const parsed = parse(bytes, {});
        assert.ok(parsed.kind === 'request');
        assert.equal(parsed.request.rowId, rowId);
        assert.equal(parsed.request.topic, apiRow.topic);
        assert.equal(parsed.request.studentId === `student-${correlationId}`, content === 'right');
      }
    }
    const waiting = plan.requests.filter(({ orEnds }) => orEnds !== undefined);
    assert.ok(waiting.length > 0);
    const firsts = waiting.map(({ messages, correlationId }) => {
      const other = plan.requests.find(({ rowId }) => rowId === rowIdOf(`${correlationId}-taken`));
      assert.ok(other);
      return Number(messages[0]?.index) < Number(other.messages[0]?.index);
    });
    assert.deepEqual(new Set(firsts), new Set([true, false]));
    assert.deepEqual(
      plan.messages.map(({ message }) => message.index),
      [...plan.messages.keys()],
    );
  });
});
