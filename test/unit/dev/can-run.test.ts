/** What runs before npm's scripts: for a Node or an installation that could run nothing else. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { projectRoot } from '../../../src/dev/paths.ts';

const script = path.join(projectRoot, 'scripts', 'can-run.cjs');
const { engines, scripts } = JSON.parse(readFileSync(path.join(projectRoot, 'package.json'), 'utf8')) as {
  engines: { node: string };
  scripts: Record<string, string>;
};

describe('the check before npm start', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'can-run-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function run(args: readonly string[], version?: string, file = script): { code: number | null; said: string } {
    const preload = path.join(folder, 'version.cjs');
    const versions = `Object.assign({}, process.versions, { node: ${JSON.stringify(version)} })`;
    writeFileSync(preload, `Object.defineProperty(process, 'versions', { value: ${versions} });`);
    const nodeArgs = version === undefined ? [] : ['-r', preload];
    const { status, stdout, stderr } = spawnSync(process.execPath, [...nodeArgs, file, ...args], { encoding: 'utf8' });
    return { code: status, said: stdout + stderr };
  }

  /** A checkout of which only these packages were installed. */
  function checkout(...packages: readonly string[]): string {
    mkdirSync(path.join(folder, 'scripts'));
    cpSync(script, path.join(folder, 'scripts', 'can-run.cjs'));
    cpSync(path.join(projectRoot, 'package.json'), path.join(folder, 'package.json'));
    for (const name of packages) {
      mkdirSync(path.join(folder, 'node_modules', name), { recursive: true });
      writeFileSync(path.join(folder, 'node_modules', name, 'package.json'), '{}');
    }
    return path.join(folder, 'scripts', 'can-run.cjs');
  }

  for (const version of ['0.10.48', '16.20.2', '18.20.8', '20.5.0', '20.18.9']) {
    it(`Node ${version} is told to be too old`, () => {
      const { code, said } = run(['tsx'], version);
      assert.equal(code, 2);
      assert.match(said, new RegExp(`^Node 20\\.19\\.0 or newer is needed, and this is ${version}: install .*\\n$`));
    });
  }

  for (const version of ['20.19.0', '20.20.2', '22.0.0', '100.0.0']) {
    it(`the twin: Node ${version} passes in silence`, () =>
      assert.deepEqual(run(['tsx'], version), { code: 0, said: '' }));
  }

  it('reads the only form that engines has here', () => assert.match(engines.node, /^>=\d+\.\d+\.\d+$/));

  it('nothing installed: npm ci', () => {
    const { code, said } = run(['tsx'], undefined, checkout());
    assert.deepEqual([code, said], [2, 'The npm packages are not installed: run "npm ci" first.\n']);
  });

  it('installed with --omit=dev: says which are missing', () => {
    const { code, said } = run(['tsx', 'get-port'], undefined, checkout('commander'));
    assert.equal(code, 2);
    assert.equal(said, 'npm packages are missing (tsx, get-port): run "npm ci", without --omit=dev.\n');
  });

  it('installed with --omit=optional: tsx has no esbuild', () => {
    const { code, said } = run(['tsx'], undefined, checkout('commander', 'tsx'));
    assert.equal(code, 2);
    assert.match(said, /^The npm package @esbuild\/\S+ is not installed: run "npm ci" .*without --omit=optional\.\n$/);
  });

  it('stands before each script that is started by hand, and passes here', () => {
    for (const name of ['start', 'worker', 'bridge', 'migrate', 'test']) {
      const [, args = ''] = /^node scripts\/can-run\.cjs ([\w -]+)/.exec(scripts[`pre${name}`] ?? '') ?? [];
      assert.deepEqual(run(args.trim().split(' ')), { code: 0, said: '' }, name);
    }
  });

  it('is plain enough for an old Node: no word that came after ES5', () => {
    const code = readFileSync(script, 'utf8').replace(/\/\*[^]*?\*\//g, '');
    assert.doesNotMatch(code, /\b(const|let|class|import|async|await)\b|=>|`|\?\?|\?\./);
  });
});
