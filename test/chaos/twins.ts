/** Deliberately broken builds: each must be caught, by the line that is meant to. What a twin breaks is one place in a copy. */
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectRoot } from '../../src/dev/paths.ts';
import { FAULTS, type Chaos, type Fault } from './faults.ts';
import type { Line } from './ledger.ts';
import type { RunOptions } from './run.ts';

export interface Twin {
  readonly name: string;
  readonly file: string;
  /** Stands there exactly once. */
  readonly from: string;
  readonly to: string;
  /** The line that must catch it; others may as well. */
  readonly line: Line;
  readonly options: Omit<RunOptions, 'folder' | 'say' | 'seed' | 'root'>;
}

const faultNamed = (name: string): Fault => {
  const fault = FAULTS.find((one) => one.name === name);
  if (fault === undefined) throw new Error(`there is no fault ${name}`);
  return fault;
};

/** Bridges have pulled, and cannot start anything; then they die. */
async function killWhileTemporalIsAway({ world, log }: Chaos, published: Promise<void>): Promise<void> {
  for (const worker of world.workers) worker.start();
  world.gates.bridgesToTemporal.up();
  for (const bridge of world.bridges) bridge.start();
  // Up and past their preflight: with the first runs started.
  await published;
  const window = log.begin({ name: 'Temporal silent, bridges kill -9', redelivers: true });
  await until(async () => {
    const rows = await world.query('select count(*)::int as count from content_requests');
    return Number(rows[0]?.['count']) > 0;
  });
  world.gates.bridgesToTemporal.stall();
  // Longer than an ack waits for company, shorter than a call to Temporal.
  await sleep(1_500);
  for (const bridge of world.bridges) bridge.signal('SIGKILL');
  world.gates.bridgesToTemporal.up();
  window.to = Date.now();
}

async function until(ask: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600 && !(await ask()); tries += 1) await sleep(50);
}

export const TWINS: readonly Twin[] = [
  {
    name: 'ack before start',
    file: 'src/bridge/hand.ts',
    from: '      const end = await this.#deps.handle(delivery, this.#stop);',
    to: '      this.#deps.acks.add(ackId);\n      const end = await this.#deps.handle(delivery, this.#stop);',
    line: 'lost',
    options: {
      messages: 300,
      faults: [],
      script: { startsAll: true, run: killWhileTemporalIsAway },
      openLimit: Infinity,
      patienceMs: 20_000,
    },
  },
  {
    name: 'unfenced update',
    file: 'src/activities/sql.ts',
    from: `        request_metadata = \${METADATA} || $7::jsonb
    where id = $1
      and owner_token = $2
      and status::text = any($8)
    returning id\`,`,
    to: `        request_metadata = \${METADATA} || $7::jsonb
    where id = $1
      and $2::text is not null
      and $8::text[] is not null
    returning id\`,`,
    line: 'twice',
    options: {
      messages: 120,
      faults: [],
      // Few at a time, so that the held worker gets its share.
      openLimit: 30,
      patienceMs: 20_000,
      script: { run: (chaos) => faultNamed('zombie worker').run(chaos) },
    },
  },
  {
    name: 'nack on poison',
    file: 'src/bridge/handle.ts',
    from: "    if (identity === null) return 'invalid-anonymous';",
    to: "    if (identity === null) return 'aborted';",
    line: 'delivered too often',
    options: {
      messages: 120,
      faults: [],
      script: { run: (_, published) => published },
      patienceMs: 8_000,
    },
  },
];

/** A copy of the sources with that one place broken, which runs as the project does. */
export async function breakBuild(twin: Twin, folder: string): Promise<string> {
  const root = path.join(folder, 'broken');
  await mkdir(root, { recursive: true });
  for (const name of ['src', 'migrations', 'package.json', 'tsconfig.json']) {
    await cp(path.join(projectRoot, name), path.join(root, name), { recursive: true });
  }
  await symlink(path.join(projectRoot, 'node_modules'), path.join(root, 'node_modules'));
  const file = path.join(root, twin.file);
  const text = await readFile(file, 'utf8');
  if (text.split(twin.from).length !== 2) throw new Error(`${twin.file} has not exactly one place for "${twin.name}"`);
  await writeFile(
    file,
    text.replace(twin.from, () => twin.to),
  );
  return root;
}
