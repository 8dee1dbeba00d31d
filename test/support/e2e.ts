/** What the end-to-end tests ask of a deployment: how a run ended, its one letter, what a bridge made of its time. */
import assert from 'node:assert/strict';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { Deployment, Letter, Running } from './deployment.ts';
import { waitFor } from './wait-for.ts';

export type Fields = Record<string, unknown>;

/** A valid message as the deployment plan writes it. */
export function requestFields(correlationId: string, more: Fields = {}): Fields {
  return {
    correlation_id: correlationId,
    student_id: 'student-1',
    topic: 'Photosynthesis',
    grade_level: '9th Grade',
    ...more,
  };
}

export interface RunEnd {
  readonly status: string;
  /** Type of the failure that it ended with; null for every other end. */
  readonly failure: string | null;
  /** Benign: no error in the worker's log, none in its metrics. */
  readonly benign: boolean;
}

/** Waits until the latest run of this row has ended. */
export async function endOfRun(deployment: Deployment, rowId: string): Promise<RunEnd> {
  const status = await waitFor(`the run of ${rowId} ends`, async () => {
    const run = await deployment
      .run(rowId)
      .describe()
      .catch(() => null);
    return run !== null && run.status.name !== 'RUNNING' && run.status.name;
  });
  if (status !== 'FAILED') return { status, failure: null, benign: false };
  const error: unknown = await deployment
    .run(rowId)
    .result()
    .catch((reason: unknown) => reason);
  assert(error instanceof WorkflowFailedError);
  assert(error.cause instanceof ApplicationFailure);
  return { status, failure: error.cause.type ?? null, benign: error.cause.category === 'BENIGN' };
}

/** The one letter of this message. Letters that come later are found by expectNoOtherLetters. */
export async function soleLetter(deployment: Deployment, messageId: string, reason: string): Promise<Letter> {
  const [letter, ...others] = await waitFor(`the letter of message ${messageId}`, () => {
    const found = deployment.letters(messageId);
    return found.length > 0 && found;
  });
  assert(letter);
  assert.deepEqual(others, [], 'one letter for one message');
  assert.equal(letter.attributes['dlq_reason'], reason);
  return letter;
}

/** Every letter so far belongs to one of these messages, and none has two. */
export function expectNoOtherLetters(deployment: Deployment, messageIds: readonly string[]): void {
  const sent = deployment.allLetters().map(({ attributes }) => attributes['dlq_message_id'] ?? '');
  assert.deepEqual([...sent].sort(), [...messageIds].sort());
}

/** The bridge's last line. */
export type Summary = Record<string, unknown> & { exitReason: string; exitCode: number };

export function summaryOf(bridge: Running): Summary {
  const summary = bridge.lines().find(({ message }) => message === 'bridge ended');
  assert(summary, `no summary in:\n${bridge.output()}`);
  return summary as Summary;
}

/** Runs a bridge until it ends by itself. */
export async function drain(
  deployment: Deployment,
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly bridge: Running; readonly code: number | string; readonly summary: Summary }> {
  const bridge = deployment.bridge([], env);
  const code = await bridge.ended;
  return { bridge, code, summary: summaryOf(bridge) };
}

/** How often the bridge settled this message, as Pub/Sub counts deliveries. */
export function deliveryAttempts(bridge: Running, messageId: string): unknown[] {
  const settled = bridge
    .lines()
    .filter((line) => line['messageId'] === messageId && line['message'] === 'message settled');
  return settled.map(({ deliveryAttempt }) => deliveryAttempt);
}

/** Milliseconds between two lines of one process, by its own clock. */
export function millisecondsBetween(process_: Running, first: string, last: string): number {
  const at = (message: string): number => {
    const line = process_.lines().find((each) => each['message'] === message);
    assert(line, `no line "${message}" in:\n${process_.output()}`);
    return Date.parse(String(line['time']));
  };
  return at(last) - at(first);
}

export async function askHealth(port: number, path: string): Promise<{ code: number; body: unknown }> {
  const response = await fetch(`http://127.0.0.1:${String(port)}${path}`);
  return { code: response.status, body: await response.json() };
}
