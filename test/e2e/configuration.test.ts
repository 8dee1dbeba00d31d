/** Every process, wrongly configured: one message with every fault and how to mend it, exit 2, no stack, no secret. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { SETTINGS, type ProcessName } from '../../src/settings.ts';
import { projectRoot } from '../../src/dev/paths.ts';
import { startProcess } from '../support/deployment.ts';

/** The rollout requires nothing: what it is told of Temporal is checked with the worker's. */
type Name = Exclude<ProcessName, 'rollout'>;

const MAINS: Readonly<Record<Name, string>> = {
  bridge: path.join(projectRoot, 'src/bridge/main.ts'),
  worker: path.join(projectRoot, 'src/worker/main.ts'),
  migrate: path.join(projectRoot, 'src/migrate/main.ts'),
  smoke: path.join(projectRoot, 'src/smoke/main.ts'),
  letters: path.join(projectRoot, 'src/letters/main.ts'),
};
const PROCESSES = Object.keys(MAINS) as Name[];

const SECRET = 'hunter2-must-not-be-seen';
const SECRETS = {
  SECRET_KEY: SECRET,
  TEMPORAL_API_KEY: SECRET,
};

/** Something no setting of the kind may be; for texts, where a rule of their own exists. */
const GARBAGE_TEXT: Readonly<Record<string, string>> = {
  CORS_ORIGINS: 'nonsense',
  HEALTH_HOST: 'everywhere',
  PUBSUB_EMULATOR_HOST: 'http://127.0.0.1:8085',
  TEMPORAL_ADDRESS: 'https://temporal.example:7233/',
  TEMPORAL_TASK_QUEUE: 'content-dead-letter',
  WORKER_DEPLOYMENT_NAME: 'a.b',
  WORKER_WORKFLOW_BUNDLE: '/nowhere/bundle.cjs',
};

function garbageOf(setting: (typeof SETTINGS)[number]): string | undefined {
  switch (setting.kind) {
    case 'integer':
    case 'number':
      return 'banana';
    case 'boolean':
      return 'perhaps';
    case 'choice':
      return 'purple';
    case 'resource':
      return 'projects/p/topics/t';
    case 'url':
      return `mysql://user:${SECRET}@127.0.0.1/vividly`;
    case 'text':
      return GARBAGE_TEXT[setting.name];
    default:
      return setting satisfies never;
  }
}

interface Refused {
  readonly code: number | string;
  readonly output: string;
  /** Variable names in the order of the message. */
  readonly named: readonly string[];
}

async function refusal(name: Name, env: Readonly<Record<string, string>>): Promise<Refused> {
  const started = startProcess(MAINS[name], [], env);
  const code = await started.ended;
  const output = started.output();
  assert.doesNotMatch(output, /^\s+at /m, 'no stack trace');
  assert.doesNotMatch(output, new RegExp(SECRET), 'no secret');
  const lines = output.split('\n').filter((line) => line !== '');
  // Variable: what is wrong; how to mend it.
  for (const line of lines) assert.match(line, /^[A-Z][A-Z0-9_*]+: .+; .+\.$/);
  return { code, output, named: lines.map((line) => line.split(':')[0] ?? '') };
}

const usedBy = (name: Name) => SETTINGS.filter((setting) => (setting.usedBy as readonly ProcessName[]).includes(name));

describe('a wrong configuration', () => {
  for (const name of PROCESSES) {
    it(`${name}: with an empty environment it names everything that it requires`, async () => {
      const { code, named } = await refusal(name, {});
      assert.equal(code, 2);
      const required = usedBy(name).filter(
        (setting) => 'requiredBy' in setting && (setting.requiredBy as readonly ProcessName[]).includes(name),
      );
      assert(required.length > 0);
      assert.deepEqual([...named].sort(), required.map((setting) => setting.name).sort());
    });

    it(`${name}: with garbage in every variable it names every one of them at once`, async () => {
      const env: Record<string, string> = { ...SECRETS };
      const wrong: string[] = [];
      for (const setting of usedBy(name)) {
        const garbage = garbageOf(setting);
        if (garbage === undefined) continue;
        env[setting.name] = garbage;
        wrong.push(setting.name);
      }
      const { code, named } = await refusal(name, env);
      assert.equal(code, 2);
      assert.deepEqual([...named].sort(), wrong.sort());
    });
  }
});

describe('secrets', () => {
  /** A port that nobody listens on: 1 needs root to bind, and nothing does. */
  const NOWHERE = '127.0.0.1:1';
  const names = {
    GOOGLE_CLOUD_PROJECT: 'project',
    PUBSUB_TOPIC: 'topic',
    PUBSUB_SUBSCRIPTION: 'subscription',
    PUBSUB_DLQ_TOPIC: 'dlq',
    PUBSUB_DLQ_SUBSCRIPTION: 'dlq-sub',
    PUBSUB_EMULATOR_HOST: NOWHERE,
    METADATA_SERVER_DETECTION: 'none',
  };
  const DATABASE_URL = `postgresql://user:${SECRET}@${NOWHERE}/vividly`;
  const common = { ...SECRETS, LOG_LEVEL: 'debug', LOG_FORMAT: 'json' };
  const cases: readonly {
    readonly process: Name;
    readonly env: Record<string, string>;
    readonly until?: string;
    readonly code: number;
  }[] = [
    {
      process: 'bridge',
      env: { ...names, TEMPORAL_ADDRESS: NOWHERE, BRIDGE_OUTAGE_LIMIT_MS: '300', BRIDGE_START_DEADLINE_MS: '300' },
      code: 3,
    },
    {
      process: 'worker',
      env: { DATABASE_URL, DATABASE_CONNECT_TIMEOUT_MS: '500', TEMPORAL_ADDRESS: NOWHERE },
      // It waits for them, until it is told to stop.
      until: 'the worker cannot start yet: it tries again',
      code: 0,
    },
    { process: 'migrate', env: { DATABASE_URL }, code: 1 },
  ];
  for (const { process: name, env, until, code } of cases) {
    it(`${name}: none is written where its servers cannot be reached, exit ${String(code)}`, async () => {
      const started = startProcess(MAINS[name], [], { ...common, ...env });
      if (until !== undefined) {
        await started.says({ message: until });
        started.kill('SIGTERM');
      }
      const ended = await started.ended;
      assert.equal(ended, code, started.output());
      assert.match(started.output(), /ECONNREFUSED|refused|transport/i);
      assert.doesNotMatch(started.output(), new RegExp(SECRET));
    });
  }
});
