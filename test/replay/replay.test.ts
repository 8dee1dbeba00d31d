/** The replay gate and its twins: every recorded path still runs through the bundle that production would load. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { DeterminismViolationError } from '@temporalio/workflow';
import { WORKFLOW } from '../../src/contract/names.ts';
import { builtBundlePath } from '../../src/workflow-bundle.ts';
import { fixtures, historiesFolder, replayAll, sha256, sumsFile, type NamedHistory } from './replay.ts';
import { SCENARIOS } from './scenarios.ts';

const bundle = { codePath: builtBundlePath };

interface Event {
  readonly eventType: string;
  readonly activityTaskScheduledEventAttributes?: { activityType: { name: string } };
  readonly workflowExecutionStartedEventAttributes?: { workflowType: { name: string } };
}

const eventsOf = ({ history }: NamedHistory): Event[] => (history as { events: Event[] }).events;

/** How each path ends: a fixture under a wrong name, or recorded before its end, proves nothing. */
const ENDS: Readonly<Record<string, string>> = {
  success: 'COMPLETED',
  'retry-then-success': 'COMPLETED',
  'permanent-failure': 'FAILED',
  'attempts-exhausted': 'FAILED',
  'result-too-large': 'FAILED',
  'provider-unavailable-then-back': 'COMPLETED',
  'provider-unavailable-for-good': 'FAILED',
  duplicate: 'COMPLETED',
  conflict: 'FAILED',
  'late-redelivery': 'FAILED',
  'taken-over-after-failure': 'COMPLETED',
  cancelled: 'CANCELED',
  'row-lost': 'FAILED',
  refused: 'FAILED',
  'refused-row-waits': 'FAILED',
  'content-blocked': 'FAILED',
  'media-made': 'COMPLETED',
  'media-awaited': 'COMPLETED',
  'media-retried': 'COMPLETED',
  'media-failed': 'FAILED',
  'media-cancelled': 'CANCELED',
  'dead-letter': 'COMPLETED',
  rejection: 'COMPLETED',
};

const scenarioOf = (fixture: string): string => fixture.split('.')[0] ?? '';

function missing(histories: readonly NamedHistory[]): string[] {
  const recorded = new Set(histories.map(({ name }) => scenarioOf(name)));
  return Object.keys(SCENARIOS).filter((scenario) => !recorded.has(scenario));
}

/** Names whose text is not what the sums say, or that only one of the two knows. */
function edited(texts: ReadonlyMap<string, string>, sums: string): string[] {
  const known = new Map(
    sums.split('\n').flatMap((line): [string, string][] => {
      const [sum, name] = line.split('  ');
      return sum === undefined || name === undefined ? [] : [[name, sum]];
    }),
  );
  const names = new Set([...known.keys(), ...texts.keys()]);
  return [...names].filter((name) => known.get(name) !== sha256(texts.get(name) ?? ''));
}

/** The history with its first activity under another name: as if the code had come to call another one. */
function mutated(history: NamedHistory): NamedHistory {
  const copy = structuredClone(history);
  const scheduled = eventsOf(copy).find((event) => event.activityTaskScheduledEventAttributes !== undefined);
  const attributes = scheduled?.activityTaskScheduledEventAttributes;
  assert(attributes, `${history.name} schedules no activity`);
  attributes.activityType.name = 'somethingElse';
  return copy;
}

describe('replay', () => {
  let histories: NamedHistory[];
  before(async () => {
    histories = await fixtures();
  });

  it('every recorded history runs through the built bundle', async () => {
    const faults = await replayAll(bundle, histories);
    assert.deepEqual(
      [...faults].map(([name, error]) => `${name}: ${error.message}`),
      [],
    );
  });

  it('there is a history of every path, and each is what its name says', () => {
    assert.deepEqual(missing(histories), []);
    assert.deepEqual(Object.keys(ENDS).sort(), Object.keys(SCENARIOS).sort());
    for (const history of histories) {
      const end = ENDS[scenarioOf(history.name)] ?? 'of no scenario';
      assert.equal(eventsOf(history).at(-1)?.eventType, `EVENT_TYPE_WORKFLOW_EXECUTION_${end}`, history.name);
    }
    const types = new Set(
      histories.map((each) => eventsOf(each)[0]?.workflowExecutionStartedEventAttributes?.workflowType.name),
    );
    assert.deepEqual([...types].sort(), Object.values(WORKFLOW).sort());
  });

  it('the twin: a path without a history is named', () => {
    const without = histories.filter(({ name }) => scenarioOf(name) !== 'cancelled');
    assert.deepEqual(missing(without), ['cancelled']);
  });

  it('the twin: a history that the code does not fit is refused, of every path', async () => {
    const faults = await replayAll(bundle, histories.map(mutated));
    assert.equal(faults.size, histories.length);
    for (const [name, error] of faults) assert(error instanceof DeterminismViolationError, `${name}: ${String(error)}`);
  });

  it('the twin: code that the histories do not fit is refused', async () => {
    const code = await readFile(builtBundlePath, 'utf8');
    const changed = { code: code.replaceAll('generateContent', 'writeContent') };
    const generated = histories.filter((each) => JSON.stringify(each.history).includes('"generateContent"'));
    assert(generated.length >= 9);
    assert.deepEqual(
      [...(await replayAll(changed, histories)).keys()],
      generated.map(({ name }) => name),
    );
  });

  it('runs that were refused before the waiting row was failed replay as they were; newer ones carry the marker', () => {
    const marked = ({ history }: NamedHistory): boolean => JSON.stringify(history).includes('core_patch');
    assert.deepEqual(histories.filter((each) => scenarioOf(each.name) === 'refused-row-waits').map(marked), [true]);
    const older = histories.find((each) => scenarioOf(each.name) === 'refused' && !marked(each));
    assert(older, 'recorded by the code before');
    const scheduled = eventsOf(older).flatMap((event) => event.activityTaskScheduledEventAttributes?.activityType.name);
    assert.deepEqual(scheduled.filter(Boolean), ['recordRequest']);
  });

  it('no fixture was edited, lost or slipped in since it was recorded', async () => {
    const texts = new Map<string, string>();
    for (const { name } of histories) texts.set(name, await readFile(new URL(name, historiesFolder), 'utf8'));
    const sums = await readFile(sumsFile, 'utf8');
    assert.deepEqual(edited(texts, sums), []);

    const [first = ''] = texts.keys();
    const changed = new Map(texts).set(first, `${texts.get(first) ?? ''} `);
    assert.deepEqual(edited(changed, sums), [first], 'the twin: an edited one is named');
    const fewer = new Map(texts);
    fewer.delete(first);
    assert.deepEqual(edited(fewer, sums), [first], 'the twin: a lost one is named');
  });

  it('no fixture names a folder or host of whoever recorded it', () => {
    for (const { name, history } of histories) {
      const text = JSON.stringify(history);
      assert.doesNotMatch(text, /node_modules|"identity":"(?!recorder)/, name);
    }
  });
});
