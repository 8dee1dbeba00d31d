/**
 * A walk through docs/deploy.md and docs/runbook.md: each of their blocks that "runs here" is typed into a shell, in their
 * order, against PostgreSQL, Temporal and Pub/Sub's emulator. What only a project has (pools, a schedule) is put in between.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { NAMES } from '../../src/contract/names.ts';
import { rowIdOf } from '../../src/contract/identity.ts';
import { projectRoot } from '../../src/dev/paths.ts';
import { createPubsubResources } from '../../src/dev/pubsub-resources.ts';
import { startProcess, type Running } from '../support/deployment.ts';
import { commandsOf, readPage, type Block } from '../support/docs/page.ts';
import { openShell, type Shell } from '../support/docs/shell.ts';
import { runsOf } from '../support/docs/words.ts';
import { startPostgres, withClient, type TestPostgres } from '../support/postgres.ts';
import { startTestPubsub, type TestPubsub } from '../support/pubsub.ts';
import { startTestTemporal, type TestTemporal } from '../support/temporal.ts';
import { waitFor } from '../support/wait-for.ts';

const BUILD = '0123456789ab';
const NEXT_BUILD = 'ba9876543210';
const USERS = { migrate: 'content_migrate', worker: 'content_worker' } as const;
const LIMIT_MS = 120_000;
const DEPLOY = readPage('docs/deploy.md');
const RUNBOOK = readPage('docs/runbook.md');

const runsHere = ({ blocks }: { readonly blocks: readonly Block[] }): Block[] =>
  blocks.filter(({ place }) => place === 'runs here');

describe('the walk through the documentation', function () {
  this.timeout(240_000);
  let folder: string;
  let shell: Shell;
  let postgres: TestPostgres;
  let temporal: TestTemporal;
  let pubsub: TestPubsub;
  const urls = { migrate: '', worker: '' };
  const running: Running[] = [];

  before(async () => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'deploy-walk-'));
    [postgres, temporal, pubsub] = await Promise.all([startPostgres(), startTestTemporal(), startTestPubsub()]);
    await createPubsubResources(pubsub.client, NAMES);
    await withClient(postgres.adminUrl, async (client) => {
      for (const user of Object.values(USERS)) {
        await client.query(`create role ${pg.escapeIdentifier(user)} login password 'of-the-walk'`);
      }
      await client.query(`create database ${NAMES.database} owner ${pg.escapeIdentifier(USERS.migrate)}`);
    });
    for (const [who, user] of Object.entries(USERS)) {
      const url = new URL(postgres.url(NAMES.database));
      url.username = user;
      url.password = 'of-the-walk';
      urls[who as keyof typeof urls] = url.href;
    }
    const bin = path.join(folder, 'bin');
    mkdirSync(bin);
    symlinkSync(temporal.server.cli, path.join(bin, 'temporal'));
    shell = openShell(folder, {
      PATH: `${bin}:${process.env['PATH'] ?? ''}`,
      HOME: folder,
      CLOUDSDK_CONFIG: path.join(folder, 'gcloud'),
      DATABASE_URL: urls.migrate,
      TEMPORAL_ADDRESS: temporal.address,
      PUBSUB_EMULATOR_HOST: pubsub.emulator.host,
      GOOGLE_CLOUD_PROJECT: pubsub.project,
      BUILD_ID: BUILD,
      // As terraform tells the migrations' job.
      MIGRATE_GRANT_TO: USERS.worker,
      BRIDGE_PULL_TIMEOUT_MS: '1500',
      BRIDGE_IDLE_WINDOW_MS: '1500',
      LOG_FORMAT: 'json',
    });
  });
  after(async () => {
    await Promise.all(running.map((each) => each.stop()));
    await Promise.all([pubsub.stop(), temporal.stop(), postgres.stop()]);
    rmSync(folder, { recursive: true, force: true });
  });

  const start = (file: string, args: string[], env: Record<string, string>): Running => {
    const started = startProcess(path.join(projectRoot, 'src', file), args, env);
    running.push(started);
    return started;
  };

  /** Longer than a page's reader would wait: two processes bundle here, while servers start beside them. */
  const polls = (who: Running, message: string): Promise<unknown> =>
    waitFor(message, () => who.lines().some((line) => line['message'] === message), LIMIT_MS);

  /** What `scripts/deploy.sh pool` makes: workers of this build, with the worker's own database user. */
  const pool = async (build: string): Promise<void> => {
    const versioned = { BUILD_ID: build, WORKER_VERSIONING: '1', WORKER_DEPLOYMENT_NAME: 'content-worker' };
    await polls(start('worker/main.ts', [], { ...shell.env, ...versioned, DATABASE_URL: urls.worker }), 'worker polls');
  };

  const statusOf = (correlationId: string): Promise<string | undefined> =>
    withClient(urls.worker, async (client) => {
      const asked = 'select status::text as status from content_requests where id = $1';
      return (await client.query<{ status: string }>(asked, [rowIdOf(correlationId)])).rows[0]?.status;
    });
  const completed = (correlationId: string): Promise<unknown> =>
    waitFor(
      `the row of ${correlationId} is completed`,
      async () => (await statusOf(correlationId)) === 'completed',
      LIMIT_MS,
    );

  const indexes = (): Promise<number | undefined> =>
    withClient(urls.migrate, async (client) => {
      const asked =
        "select count(*)::int as n from pg_indexes where indexname = 'idx_content_requests_failed_debugging'";
      return (await client.query<{ n: number }>(asked)).rows[0]?.n;
    });

  /** Types a block; a select is asked as the worker's own user. */
  const type = async ({ language, text }: Block): Promise<string> =>
    language === 'sql'
      ? withClient(urls.worker, async (client) => JSON.stringify((await client.query(text)).rows))
      : shell.run(text);

  interface Step {
    /** Beginning of its first command. */
    readonly command: string;
    readonly before?: () => Promise<unknown>;
    readonly after?: (output: string) => unknown;
  }

  /** One step for each block, in the page's order: a block more or less is noticed. */
  const walk = (page: { readonly name: string; readonly blocks: readonly Block[] }, steps: readonly Step[]): void => {
    const firstCommand = ({ text }: Block): string => text.split('\n')[1] ?? '';

    it(`${page.name} has a step here for each of its blocks that run here`, () => {
      const told = runsHere(page).map((block, index) => firstCommand(block).startsWith(steps[index]?.command ?? '\0'));
      assert.deepEqual(
        told,
        steps.map(() => true),
        runsHere(page).map(firstCommand).join('\n'),
      );
    });

    for (const [index, { command, before: prepare, after: look }] of steps.entries()) {
      it(`${page.name}: ${command}`, async () => {
        const block = runsHere(page)[index];
        assert.ok(block !== undefined, 'there is no such block');
        await prepare?.();
        const output = await type(block);
        await look?.(output);
      });
    }
  };

  it('the shell is set up as the last section says, from the addresses that npm start prints', async () => {
    const block = DEPLOY.blocks.find(({ section, place }) => section.startsWith('Rehearse') && place === 'runs here');
    assert.ok(block !== undefined, 'the block');
    await type(block);
    assert.equal(shell.env['CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB'], `http://${pubsub.emulator.host}/`);
  });

  it('the twin: a command that fails, fails its block', async () => {
    await assert.rejects(shell.run('npm run --silent rollout -- status --nonsense\ntrue'), /exit 2 of/);
    await assert.rejects(shell.run('false | true'), /exit 1 of/);
  });

  const followsPage: Step = { command: ': "${DATABASE_URL:?}"' };
  walk(DEPLOY, [
    {
      command: 'npm run migrate -- --dry-run',
      after: async (output) => {
        assert.match(output, /would apply create_content_requests/);
        assert.match(output, /add_compound_indexes_content_requests: applied/);
        assert.equal(await indexes(), 1);
      },
    },
    {
      command: 'npm run rollout -- promote',
      before: () => pool(BUILD),
      after: (output) => assert.match(output, new RegExp(`${BUILD} +current +100 % +poll`)),
    },
    { command: 'export PUBSUB_TOPIC', after: (output) => assert.doesNotMatch(output, /nobody polls/i) },
    { command: 'gcloud pubsub topics publish', after: (output) => assert.match(output, /messageIds/) },
    {
      command: 'npm run bridge',
      after: async (output) => {
        assert.match(output, /"exitReason":"drained"/);
        await completed('test-001');
      },
    },
    {
      command: 'SELECT id, correlation_id, status, created_at, retry_count',
      after: (output) => {
        const [row, ...others] = JSON.parse(output) as Record<string, unknown>[];
        assert.equal(others.length, 0, 'one row');
        assert.deepEqual(
          { status: row?.['status'], correlation_id: row?.['correlation_id'], retry_count: row?.['retry_count'] },
          { status: 'completed', correlation_id: 'test-001', retry_count: 0 },
        );
      },
    },
    {
      command: 'npm run smoke -- --via temporal',
      // The schedule.
      before: async () => {
        await polls(start('bridge/main.ts', ['--follow'], { ...shell.env }), 'bridge polls');
      },
      after: (output) => assert.match(output, /the database was not asked[\s\S]*^passed$/m),
    },
    { command: 'npm run smoke', after: (output) => assert.match(output, /from content_requests[\s\S]*^passed$/m) },
    {
      command: 'npm run smoke -- --build-id',
      after: (output) => assert.match(output, new RegExp(`^passed on ${BUILD}$`, 'm')),
    },
    { command: 'npm run migrate -- --rollback', after: async () => assert.equal(await indexes(), 0) },
    followsPage,
  ]);

  /** As the bridge makes them. */
  const letter = async (correlationId: string, reason: string, body: object): Promise<unknown> =>
    pubsub.client.topic(NAMES.deadLetterTopic).publishMessage({
      data: Buffer.from(JSON.stringify(body)),
      attributes: {
        dlq_id: rowIdOf(correlationId).replaceAll('-', '').repeat(2),
        dlq_reason: reason,
        dlq_detail: 'of the walk',
        dlq_source: 'workflow',
        dlq_replay_count: '0',
        correlation_id: correlationId,
      },
    });
  const request = (id: string): object => ({ correlation_id: id, student_id: 'test-student', topic: 'Python Basics' });
  const saved = (): string => path.join(folder, 'letters.jsonl');

  walk(RUNBOOK, [
    {
      command: '(umask 077 && npm run --silent letters',
      before: async () => {
        await letter('walk-away', 'provider_unavailable', request('walk-away'));
        await letter('walk-invalid', 'invalid_fields', { correlation_id: 'walk-invalid' });
      },
      after: () => {
        const lines = readFileSync(saved(), 'utf8').trim().split('\n');
        assert.equal(lines.map((line) => JSON.parse(line) as object).length, 2, 'both are saved');
        assert.match(lines.join('\n'), /Python Basics/);
        assert.equal(statSync(saved()).mode & 0o077, 0, 'nobody else reads them');
      },
    },
    {
      command: 'npm run letters -- show --reason invalid_fields',
      after: (output) => assert.match(output, /walk-invalid/),
    },
    { command: 'npm run letters -- show', after: (output) => assert.match(output, /walk-away/) },
    {
      command: 'npm run letters -- replay --reason provider_unavailable',
      after: async () => {
        await completed('walk-away');
        assert.equal(await statusOf('walk-invalid'), undefined, 'the other letter is left');
      },
    },
    {
      command: 'npm run rollout -- rollback',
      before: async () => {
        await pool(NEXT_BUILD);
        assert.match(await shell.run(`npm run rollout -- ramp ${NEXT_BUILD} 10`), /10 % of the new runs/);
        shell.set({ BAD_BUILD_ID: NEXT_BUILD });
      },
      after: async (output) => {
        assert.match(output, new RegExp(`${NEXT_BUILD} gets no new runs; ${BUILD} gets all`));
        const again = await shell.run('npm run rollout -- rollback "$BAD_BUILD_ID"');
        assert.match(again, /nothing is changed/);
      },
    },
    {
      command: 'temporal operator namespace create',
      after: async () => {
        // The server's memory of a namespace lags behind what was written of it.
        await waitFor('the new namespace has its search attributes', async () => {
          const listed = await shell.run('temporal operator search-attribute list --namespace content');
          return ['CorrelationId', 'OrganizationId', 'Environment'].every((name) =>
            new RegExp(`${name} +Keyword`).test(listed),
          );
        });
      },
    },
  ]);

  it("Temporal knows a build's runs by the query that moves them", async () => {
    const query = RUNBOOK.blocks.flatMap(({ text }) => /TemporalWorkerDeploymentVersion = '[^']+'/.exec(text) ?? []);
    assert.equal(query.length, 1, 'the query is there');
    const asked = (query[0] ?? '').replace('$BAD_BUILD_ID', BUILD);
    const count = await waitFor('runs of the build are counted', async () => {
      const { count: n } = await temporal.client.workflow.count(asked);
      return n > 0 ? n : null;
    });
    assert.ok(count > 0);
    const { count: none } = await temporal.client.workflow.count(asked.replace(BUILD, 'none'));
    assert.equal(none, 0, 'the twin: of another build there is none');
  });

  it("commands and flags of Temporal's CLI exist", async () => {
    const cli = temporal.server.cli;
    const help = async (...words: string[]): Promise<string> =>
      (await promisify(execFile)(cli, [...words, '--help'])).stdout;
    const options = (await promisify(execFile)(cli, ['options'])).stdout;
    const faultsOf = async (words: readonly string[]): Promise<string[]> => {
      const end = words.findIndex((word) => word.startsWith('-'));
      const path_ = end === -1 ? words : words.slice(0, end);
      const text = await help(...path_);
      const known = new Set([...`${text}\n${options}`.matchAll(/ (--[a-z-]+)/g)].map(([, flag]) => flag));
      const isCommand = text.includes(`temporal ${path_.join(' ')} [`);
      return [
        ...(isCommand ? [] : [`temporal ${path_.join(' ')} is no command`]),
        ...words.flatMap((word) => /^--[a-z-]+/.exec(word) ?? []).filter((flag) => !known.has(flag)),
      ];
    };
    const commands = [DEPLOY, RUNBOOK].flatMap((page) =>
      commandsOf(page).flatMap(({ text }) => runsOf('temporal', text)),
    );
    assert.ok(commands.length >= 5, 'commands are read');
    for (const words of commands) assert.deepEqual(await faultsOf(words), [], words.join(' '));
    assert.deepEqual(await faultsOf(['workflow', 'count', '--queri', 'x']), ['--queri']);
    assert.equal((await faultsOf(['workflow', 'recount'])).length, 1, 'the twin');
  });
});
