/** The order in which messages that may kill the process are handled: whom a killer takes along, and for how long. */
import assert from 'node:assert/strict';
import { SUSPECT_ATTEMPT } from '../../../src/bridge/delivery.ts';
import { inTurn } from '../../../src/bridge/hand.ts';
import { toDelivery, type Delivery } from '../../../src/bridge/delivery.ts';

const COUNT = 30;

function batch(attempt: number): Delivery[] {
  return Array.from({ length: COUNT }, (_, n) =>
    toDelivery({ ackId: `a${String(n)}`, deliveryAttempt: attempt, message: { messageId: String(1_000 + n) } }),
  );
}

/** At which attempt each message was handled, when these kill the process and every other one is acked. */
function handledAt(
  killers: readonly string[],
  order: (suspects: readonly Delivery[]) => readonly Delivery[],
  lastAttempt: number,
): Map<string, number> {
  const handled = new Map<string, number>();
  for (let attempt = SUSPECT_ATTEMPT; attempt <= lastAttempt; attempt += 1) {
    for (const { messageId } of order(batch(attempt).filter((delivery) => !handled.has(delivery.messageId)))) {
      if (killers.includes(messageId)) break;
      handled.set(messageId, attempt);
    }
  }
  return handled;
}

describe('suspects in turn', () => {
  it('beside one killer, wherever it stands, every other message is handled in two attempts', () => {
    for (const { messageId } of batch(1)) {
      assert.equal(handledAt([messageId], inTurn, SUSPECT_ATTEMPT + 1).size, COUNT - 1, messageId);
    }
  });

  it('beside five, every other one within the hundred deliveries of the policy', () => {
    const killers = ['1003', '1009', '1014', '1020', '1027'];
    const handled = handledAt(killers, inTurn, 100);
    assert.equal(handled.size, COUNT - killers.length);
  });

  it('the twins: as they were delivered, or only turned round, messages stay behind for ever', () => {
    const asDelivered = (suspects: readonly Delivery[]): readonly Delivery[] => suspects;
    assert.equal(handledAt(['1010'], asDelivered, 100).size, 10);
    const turned = (suspects: readonly Delivery[]): readonly Delivery[] =>
      (suspects[0]?.deliveryAttempt ?? 0) % 2 === 0 ? suspects : suspects.toReversed();
    assert.equal(handledAt(['1010'], turned, 5).size, COUNT - 1);
    assert.equal(handledAt(['1010', '1020'], turned, 100).size, COUNT - 11);
  });

  it('loses none and invents none', () => {
    const names = (deliveries: readonly Delivery[]): string[] => deliveries.map(({ ackId }) => ackId).sort();
    for (const attempt of [4, 5, 99]) assert.deepEqual(names(inTurn(batch(attempt))), names(batch(attempt)));
  });
});
