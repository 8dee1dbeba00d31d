/** `npm start` is for one machine: none of its processes listens where another machine could reach it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { platform } from 'node:os';
import { isLoopback, listeningOf, withDescendants } from '../support/listening.ts';
import { npmStart, partsOf, wholeMachine, type Machine, type Start } from '../support/npm-start.ts';

describe('npm start listens', () => {
  if (platform() !== 'linux') {
    it('is not looked at here: there is no /proc to look into', () => assert.notEqual(platform(), 'linux'));
    return;
  }

  let machine: Machine;
  let start: Start;
  before(async function () {
    this.timeout(120_000);
    machine = await wholeMachine();
    start = npmStart({ args: ['--data', machine.at('data')], env: { ...machine.env, PORT: '0' } });
    await start.says(/messages ended as they should/);
  });
  after(async () => {
    start.kill('SIGTERM');
    await start.ended;
    machine.remove();
  });

  it('on this machine only, every part of it', () => {
    const parts = partsOf(machine.at('data'));
    const listening = listeningOf([start.pid, ...[...parts.values()].map(({ pid }) => pid)]);
    const elsewhere = listening.filter(({ loopback }) => !loopback);
    assert.deepEqual(elsewhere, []);
    // PostgreSQL, Temporal with its UI, and the emulator: nothing was overlooked.
    for (const name of ['postgres', 'temporal', 'emulator']) {
      const pids = withDescendants([parts.get(name)?.pid ?? assert.fail(name)]);
      assert.ok(
        listening.some(({ pid }) => pids.includes(pid)),
        `${name} was not found to listen at all`,
      );
    }
    for (const [what, address] of [
      ['psql', /@127\.0\.0\.1:(\d+)\//],
      ['the UI', /http:\/\/127\.0\.0\.1:(\d+)/],
    ] as const) {
      const port = Number(address.exec(start.stdout())?.[1]);
      assert.ok(
        listening.some((each) => each.port === port),
        `${what} on ${String(port)} is not among what was found`,
      );
    }
  });

  for (const host of ['0.0.0.0', '::']) {
    it(`the twin: a process that listens on ${host} is found`, async () => {
      const server = createServer();
      server.listen(0, host);
      // Where there is no IPv6, there is nobody to be found on it.
      const [event] = await Promise.race([
        once(server, 'listening').then(() => ['listening']),
        once(server, 'error').then(([error]: unknown[]) => [error]),
      ]);
      if (event !== 'listening') {
        assert.match(String(event), /EAFNOSUPPORT|EADDRNOTAVAIL/);
        return;
      }
      const { port } = server.address() as AddressInfo;
      const found = listeningOf([process.pid]).filter((each) => each.port === port);
      assert.deepEqual(
        found.map(({ loopback }) => loopback),
        [false],
      );
      server.close();
    });
  }

  it('the other twin: addresses as /proc writes them', () => {
    for (const address of ['0100007F', '0203047F', `${'0'.repeat(24)}01000000`, `${'0'.repeat(16)}FFFF00000100007F`]) {
      assert.equal(isLoopback(address), true, address);
    }
    for (const address of ['00000000', '0A00000A', '7F000001', '0'.repeat(32), `${'0'.repeat(16)}FFFF00000300000A`]) {
      assert.equal(isLoopback(address), false, address);
    }
  });
});
