/** A bridge on a fake or on the emulator, with Temporal in memory: the same tests run over both. */
import pino, { type Logger } from 'pino';
import { systemClock } from '../../src/bridge/clock.ts';
import { createLetterPublisher, type TopicApi } from '../../src/bridge/dead-letter.ts';
import { LetterWatch } from '../../src/bridge/letter-watch.ts';
import { Bridge } from '../../src/bridge/run.ts';
import type { SubscriberApi } from '../../src/bridge/pull.ts';
import type { BridgeConfig } from '../../src/config.ts';
import { DEFAULT_RETRY_POLICY } from '../../src/contract/retry-policy.ts';
import type { FakeTemporal } from './fake-temporal.ts';

export function bridgeConfig(overrides: Partial<BridgeConfig> = {}): BridgeConfig {
  return {
    project: 'test-project',
    emulator: true,
    subscription: 'sub',
    topic: 'requests',
    deadLetterTopic: 'dlq',
    deadLetterSubscription: 'dlq-sub',
    temporal: { connection: {}, address: '', namespace: 'default', taskQueue: 'content-generation' },
    retry: DEFAULT_RETRY_POLICY,
    port: null,
    healthHost: '127.0.0.1',
    concurrency: 32,
    pullTimeoutMs: 100,
    ackDeadlineSeconds: 30,
    leaseRenewMs: 10_000,
    idleWindowMs: 300,
    maxRuntimeMs: 60_000,
    maxMessages: 0,
    startDeadlineMs: 1_000,
    publishDeadlineMs: 1_000,
    outageLimitMs: 300,
    breakerThreshold: 2,
    shutdownMs: 3_000,
    rejectStop: false,
    rejectAlarmCount: 20,
    rejectAlarmRatio: 0.2,
    openTooLongMs: 14_400_000,
    log: { level: 'info', format: 'json', project: null },
    warnings: [],
    ...overrides,
  };
}

export interface TestBridge {
  readonly bridge: Bridge;
  readonly letters: LetterWatch;
  /** Parsed log lines. */
  readonly lines: Record<string, unknown>[];
}

export function makeBridge(
  pubsub: { subscriber: SubscriberApi; topic: TopicApi },
  temporal: FakeTemporal,
  overrides: Partial<BridgeConfig> = {},
  options: { follow?: boolean; letterBacklog?: () => Promise<number | null> } = {},
): TestBridge {
  const config = bridgeConfig(overrides);
  const lines: Record<string, unknown>[] = [];
  const log: Logger = pino(
    { level: 'debug' },
    { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const letters = new LetterWatch(systemClock);
  const bridge = new Bridge({
    config,
    follow: options.follow ?? false,
    subscriber: pubsub.subscriber,
    starter: temporal,
    publisher: createLetterPublisher(pubsub.topic, config.deadLetterTopic, config.publishDeadlineMs, systemClock),
    letters,
    letterBacklog: options.letterBacklog ?? (() => Promise.resolve(0)),
    clock: systemClock,
    log,
    random: () => 0.5,
  });
  return { bridge, letters, lines };
}

export function requestBody(correlationId: string, fields: Record<string, unknown> = {}): Buffer {
  return Buffer.from(
    JSON.stringify({ correlation_id: correlationId, student_id: 'student-1', topic: 'Photosynthesis', ...fields }),
  );
}
