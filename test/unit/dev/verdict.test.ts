/** `npm start -- --once` is a check: it must be able to fail. */
import assert from 'node:assert/strict';
import { demoMessages, type DemoMessage } from '../../../src/dev/demo.ts';
import { hasEnded, verdict, watched, type Watched } from '../../../src/dev/watch.ts';

const { messages, script } = demoMessages();

/** As it looks when all went well. */
function ended(message: DemoMessage, change: Partial<Watched> = {}): Watched {
  const { expected } = message;
  assert(expected);
  const letters = new Map(expected.letter === null ? [] : [['dlq-id', expected.letter]]);
  const row = expected.status === null ? null : { status: expected.status, retryCount: expected.retryCount ?? 0 };
  return { ...watched(message, 'm1', letters), workflow: expected.workflow, row, ...change };
}

describe('the verdict of npm start', () => {
  for (const message of messages) {
    it(`${message.title}: nothing to say when it ended as it should`, () => {
      assert.equal(hasEnded(ended(message)), true);
      assert.equal(verdict(ended(message)), null);
    });

    it(`${message.title}: the twins are all noticed`, () => {
      const twins: Partial<Watched>[] = [
        { workflow: 'Terminated' },
        { row: { status: 'cancelled', retryCount: message.expected?.retryCount ?? 0 } },
        {
          letters: new Map([
            ['a', 'attempts_exhausted'],
            ['b', 'attempts_exhausted'],
          ]),
        },
        { letters: new Map([['a', 'another_reason']]) },
      ];
      if (message.expected?.retryCount !== null) {
        twins.push({ row: { status: message.expected?.status ?? '', retryCount: 9 } });
      }
      for (const twin of twins) assert.notEqual(verdict(ended(message, twin)), null, JSON.stringify(twin));
    });

    it(`${message.title}: it has not ended before its last sign`, () => {
      assert.equal(hasEnded(watched(message, 'm1', new Map())), false);
      const { workflow, letter } = message.expected ?? assert.fail('every message of the demonstration has an end');
      if (workflow !== null) assert.equal(hasEnded(ended(message, { workflow: 'Running' })), false);
      if (letter !== null) assert.equal(hasEnded(ended(message, { letters: new Map() })), false);
    });
  }

  it('each start fails other requests: with kept data the old ones would be duplicates', () => {
    const again = Object.keys(demoMessages().script);
    assert.deepEqual(
      Object.keys(script).filter((id) => again.includes(id)),
      [],
    );
  });
});
