import assert from 'node:assert/strict';
import pino from 'pino';
import type { Clock } from '../../../src/bridge/clock.ts';
import { untilTemporalAnswers } from '../../../src/bridge/temporal-answers.ts';

/** What the native worker says when its connection breaks between preflight and start: no code, a name of its own. */
const BROKEN = new Error(
  'Namespace default was not found or otherwise could not be described: Status { code: Unknown, message: "transport error" }',
);

describe('a step of the start that needs Temporal', () => {
  const patience = (limitMs: number): Parameters<typeof untilTemporalAnswers>[1] => {
    let time = 0;
    const clock: Clock = {
      now: () => time,
      date: () => new Date(time),
      sleep: (ms) => {
        time += ms;
        return Promise.resolve();
      },
    };
    return { namespace: 'default', limitMs, clock, log: pino({ level: 'silent' }) };
  };
  const failing = (times: number, error: Error): (() => Promise<number>) => {
    let tries = 0;
    return () => {
      tries += 1;
      return tries <= times ? Promise.reject(error) : Promise.resolve(tries);
    };
  };
  const forever = new AbortController().signal;

  it('is tried again through an outage', async () => {
    const done = await untilTemporalAnswers(failing(20, BROKEN), patience(Infinity), forever);
    assert.deepEqual(done, { kind: 'done', value: 21 });
  });

  it('is an outage, exit 3, when the limit is over', async () => {
    const end = await untilTemporalAnswers(failing(Infinity, BROKEN), patience(10_000), forever);
    assert.equal(end.kind, 'outage');
  });

  it('ends with the signal', async () => {
    const end = await untilTemporalAnswers(failing(Infinity, BROKEN), patience(Infinity), AbortSignal.abort());
    assert.equal(end.kind, 'outage');
  });

  it('the twin: what is wrong in our set-up is not waited for', async () => {
    const denied = Object.assign(new Error('denied'), { code: 7 });
    const end = await untilTemporalAnswers(failing(1, denied), patience(Infinity), forever);
    assert.equal(end.kind, 'misconfigured');
  });
});
