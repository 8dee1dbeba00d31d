/** The places where a message can be seen, opened once: runs, rows, dead letters. */
import { Client, Connection } from '@temporalio/client';
import type { Message, PubSub } from '@google-cloud/pubsub';
import pg from 'pg';
import { NAMES } from '../contract/names.ts';
import { connectionOf } from '../postgres-connection.ts';
import { emulatorClient } from './pubsub-emulator.ts';
import type { Stack } from './stack.ts';

/** Reasons by dlq_id, by the id of the message that died: a letter that is sent twice counts once. */
export type Letters = ReadonlyMap<string, string>;

export interface Views {
  readonly pubsub: PubSub;
  readonly client: Client;
  readonly database: pg.Client;
  /** Grows while one looks. */
  lettersOf(messageId: string): Letters;
  /** Ids of the messages that have died so far. */
  deadMessages(): Iterable<string>;
  close(): Promise<void>;
}

export async function openViews(stack: Stack): Promise<Views> {
  const pubsub = emulatorClient(stack.pubsubHost, NAMES.project);
  const connection = await Connection.connect(stack.temporal.connection);
  const database = new pg.Client(connectionOf(stack.databaseUrl));
  // The next query tells of a lost connection; without a listener it would end the process, and nobody its parts.
  database.on('error', () => undefined);
  await database.connect();
  const letters = new Map<string, Map<string, string>>();
  const lettersOf = (messageId: string): Map<string, string> => {
    const found = letters.get(messageId) ?? new Map<string, string>();
    letters.set(messageId, found);
    return found;
  };
  // A subscription of our own on the dead-letter topic: what we read stays in the product's.
  const [subscription] = await pubsub
    .topic(NAMES.deadLetterTopic)
    .createSubscription(`${NAMES.deadLetterSubscription}-watch-${String(process.pid)}`);
  subscription.on('message', (letter: Message) => {
    const { dlq_message_id: messageId = '', dlq_id: dlqId = '', dlq_reason: reason = '' } = letter.attributes;
    lettersOf(messageId).set(dlqId, reason);
    letter.ack();
  });
  return {
    pubsub,
    client: new Client({ connection, namespace: stack.temporal.namespace }),
    database,
    lettersOf,
    deadMessages: () => [...letters].filter(([, reasons]) => reasons.size > 0).map(([messageId]) => messageId),
    async close() {
      await subscription.close();
      // When the emulator is gone, so is the subscription: no reason to ask for a minute.
      await subscription.delete({ timeout: 3_000, retry: null });
      await pubsub.close();
      await database.end();
      await connection.close();
    },
  };
}
