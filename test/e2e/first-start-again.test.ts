/** Starts beside each other, after each other, and after one that was killed; in a shell that is set up for other things. */
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { dataRoot } from '../../src/dev/paths.ts';
import { isAlive, markOf, signalIfAlive, type ProcessMark } from '../../src/dev/process-start.ts';
import { npmStart, partsOf, wholeMachine, type Machine, type Start, type StartOptions } from '../support/npm-start.ts';
import { waitFor } from '../support/wait-for.ts';

const PARTS = ['bridge', 'emulator', 'postgres', 'temporal', 'worker'];

/** What people have exported for their own servers: none of it may reach the demonstration. */
const SHELL = {
  TEMPORAL_NAMESPACE: 'production',
  TEMPORAL_API_KEY: 'hunter2-must-not-be-seen',
  TEMPORAL_PROFILE: 'cloud',
  GENERATOR: 'something',
  RETRY_MAX_ATTEMPTS: '2',
  BRIDGE_MAX_MESSAGES: '1',
  PGSSLMODE: 'require',
  PGHOST: 'db.example.com',
  http_proxy: 'http://127.0.0.1:1',
  https_proxy: 'http://127.0.0.1:1',
};

describe('npm start, again', () => {
  let machine: Machine;
  let data: string;
  let first: Start;
  let beside: Start;
  let next: Start;
  let parts: ReadonlyMap<string, ProcessMark> = new Map();
  const started: Start[] = [];
  const taken: Server[] = [];

  function start(options: StartOptions): Start {
    const one = npmStart(options);
    started.push(one);
    return one;
  }

  before(async function () {
    this.timeout(120_000);
    machine = await wholeMachine();
    data = machine.at('data');
    // Taken by others, or by us: both is a taken port.
    for (const port of [5432, 7233, 8233, 8085]) {
      const server = createServer();
      taken.push(server);
      server.on('error', () => undefined).listen(port, '127.0.0.1');
    }
    first = start({ args: ['--data', data], env: { ...machine.env, ...SHELL } });
    // At the same moment: both choose their ports before either has taken them.
    beside = start({ env: machine.env });
    await first.says(/messages ended as they should/);
    parts = partsOf(data);
  });
  after(async () => {
    for (const part of [...parts.values(), ...partsOf(data).values()]) signalIfAlive(part, 'SIGKILL');
    for (const server of taken) server.close();
    for (const each of started) each.kill('SIGKILL');
    await Promise.all(started.map(({ ended }) => ended));
    machine.remove();
  });

  it('works where the usual ports are taken, and the shell is set up for other servers', () => {
    assert.match(first.stdout(), /✓ 4 of 4 messages/);
    assert.doesNotMatch(first.stdout(), /:(5432|7233|8233|8085)\b/);
    assert.match(first.stdout(), /^not used, though set in your shell: .*TEMPORAL_NAMESPACE.*GENERATOR.*$/m);
    assert.doesNotMatch(first.stdout() + first.stderr(), /hunter2/);
    assert.deepEqual([...parts.keys()].sort(), PARTS);
  });

  it('with the same data, the second is refused and names the first', async () => {
    const second = start({ args: ['--data', data], env: machine.env });
    assert.equal(await second.ended, 2);
    const sentence = `${data} is in use by another npm start, process ${String(first.pid)}: stop that one`;
    assert.equal(second.stderr().startsWith(sentence), true, second.stderr());
    assert.equal(second.stderr().trim().split('\n').length, 1);
    assert([...parts.values()].every(isAlive));
  });

  it('with data of its own, the second works beside the first', async () => {
    await beside.says(/✓ 4 of 4 messages ended as they should/);
    const psql = /^ +psql .*$/m;
    assert.notEqual(psql.exec(beside.stdout())?.[0], psql.exec(first.stdout())?.[0]);
    assert([...parts.values()].every(isAlive));
  });

  it('a server that ends by itself ends the start: one sentence, exit 1, and nothing is left', async () => {
    const folder = path.join(dataRoot, `run-${String(beside.pid)}`);
    const own = partsOf(folder);
    signalIfAlive(own.get('temporal') ?? assert.fail(), 'SIGKILL');
    assert.equal(await beside.ended, 1, beside.stdout());
    assert.equal(beside.stderr(), 'Temporal ended by itself: start again.\n');
    assert.deepEqual([...own.values()].filter(isAlive), []);
  });

  it('what a killed start left running is stopped, its lock taken over, its data kept', async () => {
    first.kill('SIGKILL');
    await first.ended;
    assert([...parts.values()].some(isAlive), 'its parts live on');
    // A pid of theirs that is somebody else's by now must not be touched.
    const bystander = markOf(process.pid) ?? assert.fail();
    const reused = { name: 'worker', pid: bystander.pid, start: 'another boot 1' };
    writeFileSync(path.join(data, 'npm-start.parts'), `${JSON.stringify(reused)}\n`, { flag: 'a' });

    next = start({ args: ['--data', data], env: machine.env });
    await next.says(/messages ended as they should/);
    assert.match(next.stdout(), /^stopping what a killed npm start left running: .*postgres \d+/m);
    assert.deepEqual([...parts.values()].filter(isAlive), [], 'the old ones are gone');
    assert.match(next.stdout(), /✓ 4 of 4 messages ended as they should/);
  });

  it('a second Ctrl-C stops the waiting: its parts are killed at once', async () => {
    const own = partsOf(data);
    const stuck = own.get('temporal') ?? assert.fail();
    // Asked to end, it does not for ten seconds.
    process.kill(stuck.pid, 'SIGSTOP');
    next.kill('SIGINT');
    // npm hands the same Ctrl-C on: that one is no second.
    next.kill('SIGINT');
    await next.says(/stopping …/);
    await waitFor('the bridge has ended as it should', () => !isAlive(own.get('bridge') ?? assert.fail()));
    assert(isAlive(stuck));
    next.kill('SIGINT');
    assert.equal(await next.ended, 130);
    await waitFor('all of them gone', () => ![...own.values()].some(isAlive));
    assert.deepEqual(
      readdirSync(data).filter((name) => name.startsWith('npm-start.lock')),
      [],
    );
  });
});
