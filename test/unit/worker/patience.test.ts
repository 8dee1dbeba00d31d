import assert from 'node:assert/strict';
import { Away, untilAnswered, waitAfter, type Wait } from '../../../src/worker/patience.ts';

describe('patience', () => {
  const never = new AbortController().signal;

  it('waits longer after each try, at most 5 s', () => {
    assert.deepEqual([1, 2, 3, 4, 5, 6, 7, 60].map(waitAfter), [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
    assert.equal(waitAfter(100_000), 5_000, 'after days, too');
  });

  it('tries again while somebody is away, and tells each wait once', async () => {
    const waits: Wait[] = [];
    let tries = 0;
    const answer = await untilAnswered(
      () => {
        tries += 1;
        return tries < 3
          ? Promise.reject(new Away(`not yet ${String(tries)}`, ['database']))
          : Promise.resolve('there');
      },
      never,
      (wait) => waits.push(wait),
    );
    assert.equal(answer, 'there');
    assert.deepEqual(waits, [
      { reason: 'not yet 1', away: ['database'], tries: 1, waitMs: 250 },
      { reason: 'not yet 2', away: ['database'], tries: 2, waitMs: 500 },
    ]);
  });

  it('what is no outage ends it at once', async () => {
    const refused = new Error('wrong password');
    const asked = untilAnswered(
      () => Promise.reject(refused),
      never,
      () => assert.fail('it waited'),
    );
    await assert.rejects(asked, (error) => error === refused);
  });

  it('the signal ends a wait', async () => {
    const stop = new AbortController();
    const away = (): Promise<never> => Promise.reject(new Away('away', ['Temporal']));
    assert.equal(await untilAnswered(away, stop.signal, () => stop.abort()), null);
  });

  it('the signal ends a try that hangs, and one that came before the first makes none', async () => {
    const stop = new AbortController();
    let tries = 0;
    const hang = (): Promise<never> => {
      tries += 1;
      stop.abort();
      return new Promise(() => undefined);
    };
    const none = (): void => assert.fail('it waited');
    assert.equal(await untilAnswered(hang, stop.signal, none), null);
    assert.equal(await untilAnswered(hang, stop.signal, none), null);
    assert.equal(tries, 1);
  });
});
