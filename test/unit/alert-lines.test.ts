/** The worker's lines that alerts read: once for each end, and for no trouble but that of the connection. */
import assert from 'node:assert/strict';
import { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { connectionAlert, tellCompleted, tellFailed, tellRejected } from '../../src/activities/alert-lines.ts';
import { DatabaseError, type DatabasePool } from '../../src/activities/db.ts';
import { createActivities, type ActivityDeps } from '../../src/activities/index.ts';
import { ALERT } from '../../src/contract/alert.ts';
import type { CompleteInput, FailInput, FencedResult, RejectInput } from '../../src/contract/workflow-io.ts';
import { alertLines, recordingLog, type Line } from '../support/log-lines.ts';

const OWNER = { rowId: '3e8d8b6e-0000-4000-8000-000000000001', ownerToken: 'run-1' };
const COMPLETE: CompleteInput = {
  ...OWNER,
  result: {
    scriptText: 'Once upon a time',
    media: { videoUrl: null, thumbnailUrl: null },
    usage: { provider: 'template', model: null, inputTokens: null, outputTokens: null },
    delivered: [],
  },
  requestedModalities: ['video'],
  failures: 2,
};
const FAIL: FailInput = {
  ...OWNER,
  code: 'generation_failed',
  stage: 'script_generation',
  message: 'the provider says a word about the student',
  failures: 1,
  workflowId: `content-request/${OWNER.rowId}`,
  runId: 'run-1',
};

/** Everything that a terminal write can answer, and whether a row has just ended by it. */
const ANSWERS: readonly (readonly [FencedResult, boolean])[] = [
  [{ kind: 'written' }, true],
  [{ kind: 'written', again: true }, false],
  [{ kind: 'row-already-terminal', status: 'completed' }, false],
  [{ kind: 'row-lost' }, false],
];

function linesOf(tell: (log: ReturnType<typeof recordingLog>['log']) => void): Line[] {
  const { log, lines } = recordingLog();
  tell(log);
  return lines;
}

describe('alert lines: the end of a row', () => {
  for (const [answer, ends] of ANSWERS) {
    it(`${JSON.stringify(answer)} writes ${ends ? 'its line' : 'none'}, and is handed on`, () => {
      const completed = linesOf((log) => assert.equal(tellCompleted(log, COMPLETE, answer), answer));
      const failed = linesOf((log) => assert.equal(tellFailed(log, FAIL, answer), answer));
      assert.equal(alertLines(completed, ALERT.requestCompleted).length, Number(ends), 'request_completed');
      assert.equal(alertLines(failed, ALERT.requestFailed).length, Number(ends), 'request_failed');
      assert.equal(completed.length + failed.length, 2 * Number(ends), 'and nothing else');
    });
  }

  it('says whose row it is and why, without a word of the content', () => {
    const [completed] = linesOf((log) => void tellCompleted(log, COMPLETE, { kind: 'written' }));
    const [failed] = linesOf((log) => void tellFailed(log, FAIL, { kind: 'written' }));
    assert.equal(completed?.['rowId'], OWNER.rowId);
    assert.equal(completed['severity'], 'INFO');
    assert.deepEqual(
      [failed?.['rowId'], failed?.['code'], failed?.['stage'], failed?.['severity']],
      [OWNER.rowId, 'generation_failed', 'script_generation', 'WARNING'],
    );
    assert.doesNotMatch(JSON.stringify([completed, failed]), /Once upon|a word about/);
  });

  it('an invalid message counts where it has ended the row that waited for it, and only there', () => {
    const input = (lookup: RejectInput['lookup']): RejectInput => ({
      lookup,
      code: 'invalid_fields',
      detail: 'topic is required',
      messageId: '17',
    });
    const byId = input({ rowId: OWNER.rowId });
    const byCorrelation = input({ correlationId: 'c-1' });
    const [ofId] = linesOf((log) => void tellRejected(log, byId, { outcome: 'failed' }));
    const [ofCorrelation] = linesOf((log) => void tellRejected(log, byCorrelation, { outcome: 'failed' }));
    assert.deepEqual([ofId?.['alert'], ofId?.['rowId']], [ALERT.requestFailed, OWNER.rowId]);
    assert.deepEqual([ofCorrelation?.['alert'], ofCorrelation?.['correlation_id']], [ALERT.requestFailed, 'c-1']);
    assert.deepEqual(
      linesOf((log) => void tellRejected(log, byId, { outcome: 'untouched' })),
      [],
    );
  });
});

describe('alert lines: the database', () => {
  const failed = (code: string | undefined): DatabaseError =>
    new DatabaseError('complete_request', Object.assign(new Error('no'), code === undefined ? {} : { code }));
  /** undefined = no code at all: a client that gave up waiting. */
  const OF_CONNECTION = ['ECONNREFUSED', 'ENOTFOUND', 'EPIPE', '08006', '28P01', '3D000', '53300', '57P01', undefined];
  const OF_OTHERS = ['40001', '40P01', '42501', '42P01', '53100', '55P03', '57014', '22001', '23505'];

  it('is an alert where there is no connection, and where one broke', () => {
    for (const code of OF_CONNECTION) {
      assert.deepEqual(connectionAlert(failed(code)), { alert: ALERT.databaseConnection }, code);
    }
  });

  it('is none where a lock, a right, a full disk or the data is at fault, or where it is no database at all', () => {
    for (const code of OF_OTHERS) assert.deepEqual(connectionAlert(failed(code)), {}, code);
    assert.deepEqual(connectionAlert(Object.assign(new Error('provider'), { code: 'ECONNREFUSED' })), {});
  });

  /** The activity as the worker runs it, on a database that answers each statement with this. */
  async function completedOn(error: DatabaseError): Promise<{ readonly lines: Line[]; readonly thrown: unknown }> {
    const { log, lines } = recordingLog();
    const database = { writes: () => Promise.reject(error) } as unknown as DatabasePool;
    const activities = createActivities({ database, log } as unknown as ActivityDeps);
    const environment = new MockActivityEnvironment({ attempt: 3 }, { logger: new DefaultLogger('ERROR') });
    const thrown = await environment
      .run((input: CompleteInput) => activities.completeRequest(input), COMPLETE)
      .catch((reason: unknown) => reason);
    return { lines, thrown };
  }

  it('each try of an activity that meets no database writes one, and is tried again', async () => {
    const { lines, thrown } = await completedOn(failed('ECONNREFUSED'));
    assert.ok(thrown instanceof ApplicationFailure, 'it fails');
    assert.notEqual(thrown.nonRetryable, true);
    const [line, ...others] = alertLines(lines, ALERT.databaseConnection);
    assert.deepEqual(others, []);
    assert.equal(line?.['attempt'], 3);
  });

  it('the twin: a lock is told of without it, and what is refused for good is no trouble of the database', async () => {
    const locked = await completedOn(failed('55P03'));
    assert.equal(locked.lines.length, 1, 'the line is there');
    assert.equal(alertLines(locked.lines, ALERT.databaseConnection).length, 0, 'without the code');
    assert.deepEqual((await completedOn(failed('22001'))).lines, []);
  });
});
