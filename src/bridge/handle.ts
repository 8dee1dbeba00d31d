/** One message's way: parse, start, settle. Expected trouble is an outcome; what is thrown here is a bug. */
import type { Logger } from 'pino';
import type { BridgeConfig } from '../config.ts';
import { dlqIdOfMessage } from '../contract/dead-letter.ts';
import type { DeadLetterReason } from '../contract/failure.ts';
import { parse, type ParsedMessage } from '../contract/message.ts';
import { workflowId } from '../contract/names.ts';
import { traceparentOf } from '../contract/source-message.ts';
import type { DeadLetter } from '../contract/workflow-io.ts';
import { faultPoint } from '../fault-points.ts';
import { traceFields } from '../log.ts';
import { backoffMs } from './breaker.ts';
import type { Clock } from './clock.ts';
import type { LetterPublisher } from './dead-letter.ts';
import { sourceOf, SUSPECT_ATTEMPT, type Delivery } from './delivery.ts';
import type { Gates } from './gates.ts';
import { settle, type Outcome } from './settle.ts';
import type { Starter } from './start.ts';
import { countLetter, type Counters } from './summary.ts';

export interface HandleDeps {
  readonly config: Pick<BridgeConfig, 'retry' | 'log'>;
  /** Full name. */
  readonly subscription: string;
  readonly starter: Starter;
  readonly publisher: LetterPublisher;
  readonly gates: Gates;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  /** Called once per message, when its fate is known. */
  readonly onVerdict: (rejected: boolean) => void;
}

export type End =
  | { readonly kind: 'ack' }
  | { readonly kind: 'give-back' }
  | { readonly kind: 'leave' }
  | { readonly kind: 'misconfigured'; readonly problem: string };

/** About 1 s: a run records its row, or ends, within milliseconds where worker and database answer. Meanwhile it holds a slot. */
const TRIES_BESIDE_AN_UNDECIDED_RUN = 3;

/** What is found out about a message survives its retries: no letter is sent twice within one delivery. */
interface Progress {
  letterSent: boolean;
  problem: string;
}

/** Resolves when nothing more is to be done here. `signal` ends the waiting, not a call that is under way. */
export async function handle(delivery: Delivery, deps: HandleDeps, signal: AbortSignal): Promise<End> {
  await faultPoint('bridge.pulled', delivery.messageId, ...Object.values(delivery.attributes));
  const parsed = parse(delivery.data, delivery.attributes);
  const log = deps.log.child({
    ...fieldsOf(delivery, parsed),
    ...traceFields(deps.config.log.project, traceparentOf(delivery.attributes)),
  });
  log.debug('message pulled');
  const progress: Progress = { letterSent: false, problem: '' };
  for (let attempt = 1; ; attempt += 1) {
    const outcome = await oneTry(delivery, parsed, progress, deps, signal, log);
    if (outcome === 'aborted') return { kind: 'give-back' };
    const action = settle(outcome);
    switch (action) {
      case 'ack':
      // The letter is out, and the rejection started, when oneTry says so.
      // falls through
      case 'dead-letter-then-ack':
      case 'dead-letter-and-reject-then-ack':
        deps.onVerdict(parsed.kind === 'rejection');
        log.debug({ outcome }, 'message settled');
        return { kind: 'ack' };
      case 'keep-then-give-back':
      case 'keep':
        if (action === 'keep-then-give-back') {
          // One that came often is handled alone, and nothing is pulled beside it: it does not wait at the cost of all
          // others. Its lease runs out; given back, it would be here again at once where no policy delays it.
          const alone = delivery.deliveryAttempt >= SUSPECT_ATTEMPT;
          if (alone || attempt >= TRIES_BESIDE_AN_UNDECIDED_RUN) {
            log.debug({ outcome }, 'message settled');
            return { kind: alone ? 'leave' : 'give-back' };
          }
        }
        log.warn({ outcome, attempt, error: progress.problem }, 'message kept; will try again');
        await deps.clock.sleep(backoffMs(attempt, deps.random), signal);
        continue;
      case 'give-back-and-exit-2':
        return { kind: 'misconfigured', problem: progress.problem };
      case 'leave-to-backstop':
        deps.counters.leftToBackstop += 1;
        log.error({ error: progress.problem }, 'dead letter refused; message left to the native dead-letter policy');
        return { kind: 'leave' };
    }
  }
}

async function oneTry(
  delivery: Delivery,
  parsed: ParsedMessage,
  progress: Progress,
  deps: HandleDeps,
  signal: AbortSignal,
  log: Logger,
): Promise<Outcome | 'aborted'> {
  if (parsed.kind === 'rejection') {
    const { code, detail, identity } = parsed;
    const correlationId = identity !== null && 'correlationId' in identity ? identity.correlationId : null;
    const letter = letterOf(delivery, deps, { reason: code, detail, correlationId, workflowId: null, runId: null });
    const sent = await sendLetter(delivery, letter, progress, deps, signal, log);
    if (sent !== 'sent') return sent;
    if (identity === null) return 'invalid-anonymous';
    const input = { lookup: identity, code, detail, messageId: delivery.messageId };
    const rejected = await gated('temporal', progress, deps, signal, () => deps.starter.reject(input, correlationId));
    if (typeof rejected === 'string') return rejected;
    await faultPoint('bridge.rejection-started', delivery.messageId);
    return 'invalid-identified';
  }

  const { request, contentHash, body } = parsed;
  const input = { request, contentHash, source: { ...sourceOf(delivery), body }, retry: deps.config.retry };
  const result = await gated('temporal', progress, deps, signal, () => deps.starter.start(input));
  if (typeof result === 'string') return result;
  switch (result.kind) {
    case 'started':
      deps.counters.started += 1;
      log.info({ runId: result.runId }, 'run started');
      await faultPoint('bridge.started', delivery.messageId);
      return 'started';
    case 'duplicate':
      deps.counters.duplicate += 1;
      log.info({ runId: result.runId }, 'duplicate: the run exists with the same content');
      return 'duplicate';
    case 'undecided':
      progress.problem = `run ${result.runId} has not recorded its row yet, or is ending`;
      return 'run-is-undecided';
    case 'conflict': {
      const sent = await sendLetter(
        delivery,
        letterOf(delivery, deps, {
          reason: 'conflicting_duplicate',
          detail: result.detail,
          correlationId: request.correlationId,
          workflowId: workflowId.process(request.rowId),
          runId: result.runId,
        }),
        progress,
        deps,
        signal,
        log,
      );
      return sent === 'sent' ? 'conflict' : sent;
    }
    default:
      return result satisfies never;
  }
}

type Held = 'temporal-outage' | 'publish-outage' | 'misconfigured' | 'aborted';

/** A call behind its breaker. Outages come back as outcomes, answers as they are. */
async function gated<T extends { readonly kind: string }>(
  dependency: 'temporal' | 'publish',
  progress: Progress,
  deps: HandleDeps,
  signal: AbortSignal,
  call: () => Promise<T>,
): Promise<Exclude<T, { readonly kind: 'outage' | 'misconfigured' }> | Held> {
  if (!(await deps.gates.admit(dependency, signal))) return 'aborted';
  const result = await call();
  if (isOutage(result)) {
    progress.problem = result.error;
    deps.gates.outage(dependency, result.error);
    return dependency === 'temporal' ? 'temporal-outage' : 'publish-outage';
  }
  deps.gates.success(dependency);
  if (isMisconfigured(result)) {
    progress.problem = result.problem;
    return 'misconfigured';
  }
  return result as Exclude<T, { readonly kind: 'outage' | 'misconfigured' }>;
}

function isOutage(result: { readonly kind: string }): result is { readonly kind: 'outage'; readonly error: string } {
  return result.kind === 'outage';
}

function isMisconfigured(result: {
  readonly kind: string;
}): result is { readonly kind: 'misconfigured'; readonly problem: string } {
  return result.kind === 'misconfigured';
}

async function sendLetter(
  delivery: Delivery,
  letter: DeadLetter,
  progress: Progress,
  deps: HandleDeps,
  signal: AbortSignal,
  log: Logger,
): Promise<'sent' | 'unpublishable' | Held> {
  if (progress.letterSent) return 'sent';
  const result = await gated('publish', progress, deps, signal, () => deps.publisher.publish(letter, delivery.data));
  if (typeof result === 'string') return result;
  if (result.kind === 'unpublishable') {
    progress.problem = result.error;
    return 'unpublishable';
  }
  progress.letterSent = true;
  countLetter(deps.counters, letter.reason);
  log.warn({ reason: letter.reason, detail: letter.detail, letterId: result.letterId }, 'dead letter published');
  await faultPoint('bridge.letter-published', delivery.messageId);
  return 'sent';
}

function letterOf(
  delivery: Delivery,
  deps: HandleDeps,
  story: {
    readonly reason: DeadLetterReason;
    readonly detail: string;
    readonly correlationId: string | null;
    readonly workflowId: string | null;
    readonly runId: string | null;
  },
): DeadLetter {
  return {
    ...story,
    dlqId: dlqIdOfMessage(deps.subscription, delivery.messageId),
    source: 'bridge',
    stage: story.reason === 'conflicting_duplicate' ? 'request_received' : 'validation',
    attempts: 0,
    time: deps.clock.date().toISOString(),
    message: sourceOf(delivery),
  };
}

/** Ids only: no student's id, no text. */
function fieldsOf(delivery: Delivery, parsed: ParsedMessage): Record<string, unknown> {
  const ids = { messageId: delivery.messageId, deliveryAttempt: delivery.deliveryAttempt };
  if (parsed.kind === 'request') {
    return { ...ids, correlation_id: parsed.request.correlationId, rowId: parsed.request.rowId };
  }
  const { identity } = parsed;
  if (identity === null) return ids;
  return 'rowId' in identity ? { ...ids, rowId: identity.rowId } : { ...ids, correlation_id: identity.correlationId };
}
