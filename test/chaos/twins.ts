/** Deliberately broken builds: each must be caught, by the line that is meant to. What a twin breaks is one place in a copy. */
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectRoot } from '../../src/dev/paths.ts';
import { waitFor } from '../support/wait-for.ts';
import { letZombieWrite, type Chaos } from './faults.ts';
import type { Line } from './ledger.ts';
import { makePlan, type Plan } from './mix.ts';
import type { Random } from './random.ts';
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

/** Bridges pull and cannot start anything; then they die. */
async function killWhileTemporalIsAway({ world, log }: Chaos, publish: () => Promise<void>): Promise<void> {
  for (const each of [...world.workers, ...world.bridges]) each.start();
  const said = async (words: string): Promise<number> => {
    const counts = await Promise.all(world.bridges.map((bridge) => bridge.said(words)));
    return counts.reduce((sum, count) => sum + count, 0);
  };
  await waitFor('the bridges poll', async () => (await said('"bridge polls"')) >= 2, 60_000);
  const window = log.begin({ name: 'Temporal silent, bridges kill -9', redelivers: true, outage: 'temporal' });
  world.gates.bridgesToTemporal.stall();
  await publish();
  await waitFor('they have pulled', async () => (await said('"message pulled"')) >= 30, 60_000);
  // Longer than an ack waits for company, shorter than a call to Temporal.
  await sleep(1_000);
  for (const bridge of world.bridges) bridge.signal('SIGKILL');
  world.gates.bridgesToTemporal.up();
  window.to = Date.now();
}

/** The held worker is the only one at first, so that it surely holds some. */
function letZombieWriteLast(chaos: Chaos, publish: () => Promise<void>): Promise<void> {
  const { bridges, workers } = chaos.world;
  for (const bridge of bridges) bridge.start();
  const published = publish();
  const whenHeld = async (): Promise<void> => {
    for (const worker of workers) worker.start();
    await published;
  };
  return letZombieWrite(chaos, whenHeld, true);
}

const theMix = (random: Random): Plan => makePlan(60, random, 'twin');

export const TWINS: readonly Twin[] = [
  {
    name: 'ack before start',
    file: 'src/bridge/hand.ts',
    from: '      const end = await this.#deps.handle(delivery, this.#stop);',
    to: '      this.#deps.acks.add(ackId);\n      const end = await this.#deps.handle(delivery, this.#stop);',
    line: 'lost',
    options: {
      plan: theMix,
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
      plan: theMix,
      faults: [],
      openLimit: Infinity,
      patienceMs: 20_000,
      script: { startsAll: true, run: letZombieWriteLast },
    },
  },
  {
    name: 'nack on poison',
    file: 'src/bridge/handle.ts',
    from: "    if (identity === null) return 'invalid-anonymous';",
    to: "    if (identity === null) return 'aborted';",
    line: 'delivered too often',
    options: {
      plan: theMix,
      faults: [],
      script: { run: (_, publish) => publish() },
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
