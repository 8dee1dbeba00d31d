/** One start for a folder, and nothing of a dead one left: with real processes, of which only the right ones may end. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { checkNotOwned, own, removeLeftovers } from '../../../src/dev/owner.ts';
import { isAlive, markOf, type ProcessMark } from '../../../src/dev/process-start.ts';
import { waitFor } from '../../support/wait-for.ts';

const silent = (): void => undefined;

describe('whose a data folder is', () => {
  let folder: string;
  const children: ChildProcess[] = [];

  beforeEach(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'owner-'));
  });
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  function idle(): ProcessMark {
    const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
    children.push(child);
    return markOf(child.pid ?? 0) ?? assert.fail();
  }

  function write(file: string, ...lines: readonly object[]): void {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  }

  it('a living owner is named, and its lock stays', async () => {
    const owner = idle();
    const lock = path.join(folder, 'npm-start.lock');
    write(lock, owner);
    const refused = new RegExp(`in use by another npm start, process ${String(owner.pid)}:`);
    assert.throws(() => checkNotOwned(folder), refused);
    await assert.rejects(own(folder, silent), refused);
    assert.deepEqual(readdirSync(folder), ['npm-start.lock']);
  });

  const stale: Record<string, string> = {
    'of a process that is gone': JSON.stringify({ pid: 2 ** 22 + 1, start: 'x' }),
    'of a pid that is somebody else by now': JSON.stringify({ pid: process.pid, start: 'another boot 1' }),
    'that a power cut left empty': '',
  };
  for (const [what, text] of Object.entries(stale)) {
    it(`a lock ${what} is taken over`, async () => {
      writeFileSync(path.join(folder, 'npm-start.lock'), text);
      const owner = await own(folder, silent);
      assert.throws(() => checkNotOwned(folder), new RegExp(`process ${String(process.pid)}:`));
      owner.release();
      assert.deepEqual(readdirSync(folder), []);
    });
  }

  it('of many that find it stale at once, one gets it', async () => {
    writeFileSync(path.join(folder, 'npm-start.lock'), stale['of a process that is gone'] ?? '');
    const script = `
      const { own } = await import(${JSON.stringify(path.resolve('src/dev/owner.ts'))});
      process.stdin.resume();
      own(${JSON.stringify(folder)}, () => {}).then(() => console.log('mine'), () => console.log('refused'));`;
    const answers: string[] = [];
    for (let index = 0; index < 4; index += 1) {
      const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      children.push(child);
      child.stdout.setEncoding('utf8').on('data', (text: string) => answers.push(text.trim()));
    }
    await waitFor('four answers', () => answers.length === 4);
    assert.deepEqual(answers.sort(), ['mine', 'refused', 'refused', 'refused']);
  });

  it('folders that it made and nothing came into are taken back; others stay', async () => {
    const deep = path.join(folder, 'a', 'b');
    (await own(deep, silent)).release();
    assert(!existsSync(path.join(folder, 'a')));
    const kept = await own(deep, silent);
    writeFileSync(path.join(deep, 'rows'), '');
    kept.release();
    assert.deepEqual(readdirSync(deep), ['rows']);
  });

  it('leftovers of starts without --data: stopped by pid and start, removed; a living start is let be', async () => {
    const left = idle();
    const bystander = idle();
    const living = idle();
    const dead = { pid: 2 ** 22 + 1, start: 'x' };
    write(path.join(folder, 'run-4194305', 'npm-start.lock'), dead);
    write(
      path.join(folder, 'run-4194305', 'npm-start.parts'),
      { name: 'temporal', ...left },
      { name: 'postgres', pid: bystander.pid, start: 'another boot 1' },
    );
    write(path.join(folder, `run-${String(living.pid)}`, 'npm-start.lock'), living);
    write(path.join(folder, `run-${String(process.pid)}`, 'logs'));
    write(path.join(folder, 'notes'));
    const said: string[] = [];
    await removeLeftovers(folder, (line) => said.push(line));
    assert.deepEqual([left, bystander, living].map(isAlive), [false, true, true]);
    assert.deepEqual(readdirSync(folder).sort(), ['notes', `run-${String(living.pid)}`]);
    assert.deepEqual(said, [`stopping what a killed npm start left running: temporal ${String(left.pid)}`]);
  });
});
