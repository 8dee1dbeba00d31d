/**
 * `npm run worker -- --check`: everything the worker needs, a line each. Exit 0 all there; 1 something does not answer;
 * 2 something must be mended. `--probe` has the provider make one tiny script, which is paid for.
 */
import { randomUUID } from 'node:crypto';
import { NativeConnection } from '@temporalio/worker';
import { classify } from '../activities/classify.ts';
import { openDatabase } from '../activities/db.ts';
import { schemaFaults } from '../activities/schema.ts';
import type { WorkerConfig } from '../config.ts';
import { placeOf, tlsTrouble } from '../postgres-connection.ts';
import type { ContentRequest } from '../contract/request.ts';
import type { Usage } from '../contract/workflow-io.ts';
import { abortable } from '../generators/abortable.ts';
import { GeneratorError, type Generator } from '../generators/generator.ts';
import { printable } from '../log.ts';
import { checkWithin, PROVIDER_CHECK_MS } from './provider-state.ts';
import { databaseRefusal, temporalRefusal } from './refusals.ts';

export interface CheckOptions {
  readonly probe: boolean;
  readonly print: (line: string) => void;
}

type Found =
  | { readonly kind: 'ok' | 'mend' | 'away'; readonly text: string }
  /** Not looked at, since what comes before it failed. */
  | { readonly kind: 'skipped'; readonly text: string };

const WORD = { ok: 'ok       ', mend: 'WRONG    ', away: 'NO ANSWER', skipped: '–        ' } as const;
const TEMPORAL_DEADLINE_MS = 10_000;

export async function check(config: WorkerConfig, generator: Generator, options: CheckOptions): Promise<0 | 1 | 2> {
  const [database, temporal, provider] = await Promise.all([
    checkDatabase(config),
    checkTemporal(config),
    checkProvider(generator),
  ]);
  const found: (readonly [string, Found])[] = [
    ['database', database],
    ['Temporal', temporal],
    ['provider', provider],
  ];
  if (options.probe) {
    const skipped: Found = { kind: 'skipped', text: 'not tried, since the provider does not answer' };
    found.push(['probe', provider.kind === 'ok' ? await probe(generator, config.generatorTimeoutMs) : skipped]);
  }
  for (const warning of config.warnings) options.print(`WARNING   ${warning}`);
  for (const [what, { kind, text }] of found) options.print(`${WORD[kind]} ${what}: ${printable(text)}`);
  const kinds = found.map(([, { kind }]) => kind);
  if (kinds.includes('mend')) return 2;
  return kinds.includes('away') ? 1 : 0;
}

async function checkDatabase(config: WorkerConfig): Promise<Found> {
  const where = placeOf(config.database.url);
  const database = openDatabase(config.database, {
    applicationName: 'content-processor-worker-check',
    onIdleError: () => undefined,
  });
  try {
    const faults = await schemaFaults(database);
    if (faults.length === 0) return { kind: 'ok', text: `${where} has the schema that the worker needs` };
    return { kind: 'mend', text: `${where}: ${faults.join('; ')}; run: npm run migrate` };
  } catch (error) {
    const trouble = tlsTrouble(error, placeOf(config.database.url));
    if (trouble !== null) return { kind: 'mend', text: trouble };
    return { kind: databaseRefusal(error) === null ? 'away' : 'mend', text: `${where}: ${wordsOf(error)}` };
  } finally {
    await database.close();
  }
}

async function checkTemporal({ temporal }: WorkerConfig): Promise<Found> {
  const where = `${temporal.address}, namespace ${temporal.namespace}`;
  let connection: NativeConnection | undefined;
  try {
    connection = await NativeConnection.connect(temporal.connection);
    const { workflowService } = connection;
    await connection.withDeadline(Date.now() + TEMPORAL_DEADLINE_MS, () =>
      workflowService.describeNamespace({ namespace: temporal.namespace }),
    );
    return { kind: 'ok', text: where };
  } catch (error) {
    const refused = temporalRefusal(error, temporal.namespace) !== null;
    return { kind: refused ? 'mend' : 'away', text: `${where}: ${wordsOf(error)}` };
  } finally {
    await connection?.close();
  }
}

async function checkProvider(generator: Generator): Promise<Found> {
  try {
    return { kind: 'ok', text: `${generator.name}: ${await checkWithin(generator, PROVIDER_CHECK_MS)}` };
  } catch (error) {
    return troubleOf(generator, error);
  }
}

/** Small enough to cost next to nothing, real enough to meet every refusal that a lesson would. */
function probeRequest(): ContentRequest {
  const rowId = randomUUID();
  return {
    rowId,
    correlationId: rowId,
    studentId: 'probe',
    topic: 'Why is the sky blue?',
    gradeLevel: '5',
    learningObjective: null,
    durationMinutes: 1,
    organizationId: null,
    interest: null,
    environment: null,
    requestedModalities: ['text'],
    preferredModality: 'text',
  };
}

async function probe(generator: Generator, timeoutMs: number): Promise<Found> {
  const began = performance.now();
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const result = await abortable(generator.generate(probeRequest(), { signal }), signal);
    const seconds = ((performance.now() - began) / 1_000).toFixed(1);
    return { kind: 'ok', text: `${String(result.scriptText.length)} characters in ${seconds} s${cost(result.usage)}` };
  } catch (error) {
    if (!signal.aborted) return troubleOf(generator, error);
    return { kind: 'away', text: `${generator.name}: no answer within ${String(timeoutMs / 1_000)} s` };
  }
}

function cost({ inputTokens, outputTokens, costUsd }: Usage): string {
  const tokens =
    inputTokens === null && outputTokens === null
      ? ''
      : `, ${String(inputTokens ?? '?')} + ${String(outputTokens ?? '?')} tokens`;
  return typeof costUsd === 'number' ? `${tokens}, ${costUsd.toFixed(6)} USD` : tokens;
}

/** What no wait mends: refusals, and an answer that came and is not what it must be. */
function troubleOf(generator: Generator, error: unknown): Found {
  const { kind, code } = classify(error);
  const answered = error instanceof GeneratorError && kind !== 'unavailable';
  const mend = kind === 'configuration' || kind === 'permanent' || answered;
  return { kind: mend ? 'mend' : 'away', text: `${generator.name}: ${code}: ${wordsOf(error)}` };
}

function wordsOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 500);
}
