/** The watch over open runs and pollers: it tells, and can neither fail the bridge nor hold it up. */
import assert from 'node:assert/strict';
import { warning, type Warning } from '../../../src/bridge/preflight.ts';
import {
  keepWatch,
  LOOK_EVERY_MS,
  tellRunsOpenTooLong,
  tellWarning,
  type RunWatchDeps,
} from '../../../src/bridge/run-watch.ts';
import { ALERT } from '../../../src/contract/alert.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { alertLines, recordingLog, type Line } from '../../support/log-lines.ts';

const HOUR_MS = 3_600_000;

interface Watched extends RunWatchDeps {
  readonly clock: HandClock;
  readonly lines: Line[];
  readonly queries: string[];
}

function watched(count: () => Promise<number>, pollers: readonly Warning[] = []): Watched {
  const queries: string[] = [];
  return {
    ...recordingLog(),
    queries,
    clock: new HandClock(),
    count: (query) => {
      queries.push(query);
      return count();
    },
    findPollers: () => Promise.resolve(pollers),
    openTooLongMs: 4 * HOUR_MS,
  };
}

const never = (): Promise<number> => new Promise(() => undefined);
const none = (): Promise<number> => Promise.resolve(0);

describe('the watch over open runs', () => {
  it('tells how many are older than the limit, and by which question', async () => {
    const deps = watched(() => Promise.resolve(3));
    deps.clock.time = 10 * HOUR_MS;
    await tellRunsOpenTooLong(deps, new AbortController().signal);
    const [line, ...others] = deps.lines;
    assert.deepEqual(others, []);
    assert.deepEqual([line?.['alert'], line?.['count'], line?.['severity']], [ALERT.runsOpenTooLong, 3, 'WARNING']);
    assert.match(String(line?.['query']), /ExecutionStatus = 'Running' AND StartTime < '1970-01-01T06:00:00.000Z'$/);
    assert.deepEqual(deps.queries, [line?.['query']]);
  });

  it('the twin: says nothing where there are none', async () => {
    const deps = watched(none);
    await tellRunsOpenTooLong(deps, new AbortController().signal);
    assert.deepEqual(deps.lines, []);
    assert.equal(deps.queries.length, 1);
  });

  it('where visibility fails it says so, without the alert, and ends', async () => {
    const deps = watched(() => Promise.reject(new Error('visibility is away')));
    await tellRunsOpenTooLong(deps, new AbortController().signal);
    assert.equal(deps.lines.length, 1);
    assert.equal(deps.lines[0]?.['error'], 'visibility is away');
    assert.equal(alertLines(deps.lines, ALERT.runsOpenTooLong).length, 0);
  });

  it('where visibility is silent it ends after 2.5 s', async () => {
    const deps = watched(never);
    const told = tellRunsOpenTooLong(deps, new AbortController().signal).then(() => 'ended');
    await deps.clock.pass(2_499);
    assert.equal(await Promise.race([told, Promise.resolve('waits')]), 'waits');
    await deps.clock.pass(1);
    assert.equal(await told, 'ended');
    assert.match(String(deps.lines[0]?.['error']), /no answer within 2500 ms/);
  });

  it('a signal ends it at once, and one that came before lets it ask nothing', async () => {
    const stop = new AbortController();
    const deps = watched(never);
    const told = tellRunsOpenTooLong(deps, stop.signal);
    stop.abort();
    await told;
    await tellRunsOpenTooLong(deps, stop.signal);
    assert.equal(deps.queries.length, 1);
    assert.deepEqual(deps.lines, []);
  });

  it('whoever follows looks at once, and every five minutes at pollers and runs', async () => {
    const deps = watched(none, [warning('nobody polls', ALERT.noWorkerPolls)]);
    const stop = new AbortController();
    const kept = keepWatch(deps, stop.signal);
    await deps.clock.pass(0);
    assert.equal(deps.queries.length, 1);
    assert.deepEqual(deps.lines, [], 'the preflight has just told of the pollers');
    await deps.clock.pass(LOOK_EVERY_MS - 1);
    assert.equal(deps.queries.length, 1);
    await deps.clock.pass(1);
    assert.equal(deps.queries.length, 2);
    assert.equal(alertLines(deps.lines, ALERT.noWorkerPolls).length, 1);
    stop.abort();
    await kept;
    await deps.clock.pass(LOOK_EVERY_MS);
    assert.equal(deps.queries.length, 2);
  });
});

describe('a warning of the preflight', () => {
  it('carries its alert at the top of its line, and none where it has none', () => {
    const { log, lines } = recordingLog();
    tellWarning(log, warning('nobody polls', ALERT.noWorkerPolls));
    tellWarning(log, warning('cannot be checked'));
    assert.deepEqual(
      lines.map(({ alert, warning: text }) => [alert, text]),
      [
        [ALERT.noWorkerPolls, 'nobody polls'],
        [undefined, 'cannot be checked'],
      ],
    );
    assert.ok(!('alert' in (lines[1] ?? {})), 'no key at all');
  });
});
