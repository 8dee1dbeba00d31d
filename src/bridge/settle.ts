/**
 * What becomes of a message: the table of the README, "What becomes of a message", as a pure function. The compiler closes it: an
 * outcome without a row, or a row without an outcome, does not build.
 */
export type Outcome =
  | 'started'
  | 'duplicate'
  | 'conflict'
  | 'invalid-identified'
  | 'invalid-anonymous'
  | 'run-is-undecided'
  | 'temporal-outage'
  | 'publish-outage'
  | 'misconfigured'
  | 'unpublishable';

export type Action =
  | 'ack'
  | 'dead-letter-then-ack'
  | 'dead-letter-and-reject-then-ack'
  | 'keep'
  | 'keep-then-give-back'
  | 'give-back-and-exit-2'
  | 'leave-to-backstop';

export function settle(outcome: Outcome): Action {
  switch (outcome) {
    // Row "valid, new", and every row that recordRequest decides inside the run.
    case 'started':
      return 'ack';
    // Row "same content, run running or completed".
    case 'duplicate':
      return 'ack';
    // Row "other content, run running or completed".
    case 'conflict':
      return 'dead-letter-then-ack';
    // Row "invalid …", its request_id or correlation_id readable: a row that waits for it must learn of it.
    case 'invalid-identified':
      return 'dead-letter-and-reject-then-ack';
    // Row "invalid …", nobody to tell.
    case 'invalid-anonymous':
      return 'dead-letter-then-ack';
    // Another message's run has not decided on the row yet, or is ending: what becomes of this one is not known before.
    // Not kept for ever, for it holds a slot; given back it waits as long as it takes.
    case 'run-is-undecided':
      return 'keep-then-give-back';
    // Row "Temporal unreachable, throttled, deadline, anything unknown".
    case 'temporal-outage':
      return 'keep';
    // The same for the dead-letter topic: no ack without a letter.
    case 'publish-outage':
      return 'keep';
    // Row "INVALID_ARGUMENT …, namespace missing, permission denied, bad credentials".
    case 'misconfigured':
      return 'give-back-and-exit-2';
    // A letter that Pub/Sub refuses as too large waits for the subscription's own dead-letter policy.
    // Its lease runs out; a nack would bring it back at once.
    case 'unpublishable':
      return 'leave-to-backstop';
    default:
      return outcome satisfies never;
  }
}
