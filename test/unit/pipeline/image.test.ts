/**
 * The scripts that stand in for an engine (npm run image:steps): what they make of a Dockerfile, and what they refuse. Twins
 * of the real run, which builds and starts Dockerfile.content-worker itself.
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { copyOf, letsThrough, pairsOf, parseDockerfile, words } from '../../../scripts/dockerfile.ts';
import { buildImage, type Built } from '../../../scripts/image-build.ts';
import { contentFaults, labelFaults, PROCESSES, type Lock } from '../../../scripts/image-contents.ts';
import { projectRoot } from '../../../src/dev/paths.ts';

const read = (file: string): string => readFileSync(path.join(projectRoot, file), 'utf8');

function write(root: string, files: Readonly<Record<string, string>>): void {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.join(root, path.dirname(file)), { recursive: true });
    writeFileSync(path.join(root, file), text);
  }
}

describe('image', () => {
  const folders: string[] = [];
  const folder = (): string => {
    const made = mkdtempSync(path.join(tmpdir(), 'image-'));
    folders.push(made);
    return made;
  };
  after(() => {
    for (const each of folders) rmSync(each, { recursive: true });
  });

  describe('Dockerfile.content-worker', () => {
    const stages = parseDockerfile(read('Dockerfile.content-worker'));
    const last = stages.at(-1);
    const texts = (keyword: string): string[] =>
      (last?.instructions ?? []).flatMap((each) => (each.keyword === keyword ? [each.text] : []));

    it('stands on one pinned base, and what builds it is not in it', () => {
      assert.deepEqual(
        stages.map(({ from, name }) => [name, from]),
        [
          ['base', 'node:24-bookworm-slim'],
          ['build', 'base'],
          ['dependencies', 'base'],
          [null, 'base'],
        ],
      );
      const copied = texts('COPY').map(copyOf);
      assert.deepEqual(
        copied.flatMap(({ from, sources }) => (from === null ? [] : [[from, ...sources]])),
        [
          ['dependencies', '/app/node_modules'],
          ['build', '/app/dist'],
        ],
      );
    });

    it('runs as a user by number, node at its end, the bridge unless told otherwise', () => {
      assert.deepEqual(
        [texts('USER'), texts('ENTRYPOINT'), texts('CMD')],
        [['1000:1000'], ['["content-worker"]'], ['["bridge"]']],
      );
      assert.match(read('scripts/content-worker'), /\nexec node "\$main" "\$@"\n$/);
    });

    it('the entrypoint knows every process that the image must have', () => {
      const [, known = ''] = /^ {2}(.+)\) ;;$/m.exec(read('scripts/content-worker')) ?? [];
      const processes = known.split(' | ');
      assert.deepEqual(
        PROCESSES.filter((name) => !processes.includes(name)),
        [],
      );
    });
  });

  describe('a Dockerfile', () => {
    it('is stages and instructions, with lines that go on and comments between', () => {
      const text = 'FROM node:24 AS base\n# a comment\nRUN one \\\n  # another\n  && two\n\nFROM base\nUSER 1:1\n';
      assert.deepEqual(parseDockerfile(text), [
        { name: 'base', from: 'node:24', instructions: [{ keyword: 'RUN', text: 'one   && two', line: 3 }] },
        { name: null, from: 'base', instructions: [{ keyword: 'USER', text: '1:1', line: 8 }] },
      ]);
    });

    for (const [what, text] of [
      ['an instruction that is not performed', 'FROM a\nADD https://example.com/x /x\n'],
      ['an instruction before any stage', 'RUN true\n'],
      ['a here-document', 'FROM a\nRUN <<EOF\nEOF\n'],
      ['a platform', 'FROM --platform=linux/arm64 a\n'],
      ['a line that goes on for ever', 'FROM a\nRUN true \\\n'],
    ] as const) {
      it(`is refused for ${what}`, () => assert.throws(() => parseDockerfile(text), /^Error: line \d/));
    }

    it('copies from a stage or the context, and by no other option', () => {
      assert.deepEqual(copyOf('--from=build /app/dist dist'), { from: 'build', sources: ['/app/dist'], to: 'dist' });
      assert.throws(() => copyOf('--chmod=777 a b'), /only --from/);
      assert.throws(() => copyOf('a'), /to where|from where/);
    });

    it('has pairs with the build arguments filled in, and nothing else in their place', () => {
      assert.deepEqual(pairsOf('A="x y" B=${BUILD_ID} C=${NONE}', { BUILD_ID: 'id' }), { A: 'x y', B: 'id', C: '' });
      assert.throws(() => pairsOf('A x', {}), /not KEY=VALUE/);
    });

    it('starts processes by the exec form only', () => {
      assert.deepEqual(words('["content-worker"]'), ['content-worker']);
      assert.throws(() => words('content-worker bridge'));
      assert.throws(() => words('["node", 1]'), /exec form/);
    });
  });

  it('.dockerignore: the last pattern that fits decides', () => {
    const ignore = '# all\n*\n!src\nsrc/dev\n';
    const paths = ['src', 'src/a.ts', 'src/dev/b.ts', 'srcs', '.env', 'test/x.ts'];
    assert.deepEqual(
      paths.filter((each) => letsThrough(ignore, each)),
      ['src', 'src/a.ts'],
    );
    assert.throws(() => letsThrough('**/*.ts\n', 'src'), /not understood/);
  });

  it('.dockerignore of the project keeps out what is no part of the image', () => {
    const ignore = read('.dockerignore');
    for (const file of ['.env', '.git/config', '.npmrc', 'node_modules/x', 'terraform/main.tf', 'test/x.ts', 'docs']) {
      assert.equal(letsThrough(ignore, file), false, file);
    }
    assert.equal(letsThrough(ignore, 'src/bridge/main.ts'), true, 'the twin');
  });

  describe('performed', () => {
    const CONTEXT = {
      'src/a.txt': 'a',
      'src/left.txt': 'left',
      'secret.txt': 'secret',
    };
    const IGNORE = '*\n!src\nsrc/left.txt\n';
    function perform(dockerfile: string): Built {
      const root = folder();
      write(root, CONTEXT);
      const args = { BUILD_ID: 'id' };
      return buildImage(parseDockerfile(dockerfile), {
        root,
        ignore: IGNORE,
        args,
        work: folder(),
        say: () => undefined,
      });
    }

    it('stages, copies and runs end in the last stage’s folder', () => {
      const built = perform(
        [
          'FROM node:24 AS base',
          'WORKDIR /app',
          'FROM base AS build',
          'COPY src src',
          'RUN cat src/a.txt src/a.txt >made && chmod 700 made',
          'FROM base',
          'ARG BUILD_ID',
          'COPY --from=build /app/made /usr/local/bin/',
          'ENV BUILD_ID=${BUILD_ID} HOME=/app',
          'LABEL version="${BUILD_ID}"',
          'USER 1000:1000',
          'ENTRYPOINT ["made"]',
          'CMD ["bridge"]',
        ].join('\n'),
      );
      const made = path.join(built.root, 'usr/local/bin/made');
      assert.equal(readFileSync(made, 'utf8'), 'aa');
      assert.equal(statSync(made).mode & 0o777, 0o700);
      assert.equal(existsSync(path.join(built.root, 'app/src')), false, 'the other stage’s files stay there');
      assert.deepEqual(built, {
        root: built.root,
        workdir: '/app',
        env: { BUILD_ID: 'id', HOME: '/app' },
        labels: { version: 'id' },
        user: '1000:1000',
        entrypoint: ['made'],
        command: ['bridge'],
      });
    });

    it('a folder comes without what .dockerignore keeps out of it', () => {
      const { root } = perform('FROM a\nCOPY src /src\n');
      assert.deepEqual(
        [existsSync(path.join(root, 'src/a.txt')), existsSync(path.join(root, 'src/left.txt'))],
        [true, false],
      );
    });

    for (const [what, step, error] of [
      ['a file that .dockerignore keeps out', 'COPY secret.txt /', /\.dockerignore keeps it out/],
      ['a file that is not there', 'COPY gone.txt /', /there is none/],
      ['a stage that is not there', 'COPY --from=build /a /', /no stage build/],
      ['a step that fails', 'RUN false', /RUN ends with 1/],
      ['a step that fails half-way', 'RUN false; true', /RUN ends with 1/],
      ['an argument that nobody gives', 'ARG OTHER', /nobody gives OTHER/],
      ['a shell in front of the process', 'CMD node main.js', /JSON|exec form/],
    ] as const) {
      it(`ends at ${what}`, () => assert.throws(() => perform(`FROM a\n${step}\n`), error));
    }

    it('sees nothing of the environment that it is run in', () => {
      process.env['IMAGE_TEST_SECRET'] = 'seen';
      try {
        const { root } = perform('FROM a\nRUN echo "${IMAGE_TEST_SECRET:-nothing}" >said\n');
        assert.equal(readFileSync(path.join(root, 'said'), 'utf8'), 'nothing\n');
      } finally {
        delete process.env['IMAGE_TEST_SECRET'];
      }
    });
  });

  describe('its contents', () => {
    const LOCK: Lock = {
      packages: {
        '': {},
        'node_modules/@temporalio/worker': {},
        'node_modules/mocha': { dev: true },
        'node_modules/@temporalio/worker/node_modules/nested': { devOptional: true },
      },
    };
    const SOUND = {
      'package.json': '{}',
      'dist/workflow-bundle.cjs': '',
      'migrations/create_content_requests.sql': '',
      'node_modules/@temporalio/worker/package.json': '{}',
      ...Object.fromEntries(PROCESSES.map((name) => [`dist/${name}/main.js`, ''])),
    };
    const faultsOf = (more: Readonly<Record<string, string>>, mode = 0o644): string[] => {
      const app = folder();
      write(app, SOUND);
      write(app, more);
      for (const file of Object.keys(more)) chmodSync(path.join(app, file), mode);
      return contentFaults(app, LOCK);
    };

    it('what is needed is enough', () => assert.deepEqual(faultsOf({}), []));

    const KEY = '-----BEGIN ' + 'PRIVATE KEY-----';
    for (const [what, file, text, fault] of [
      ['a development package', 'node_modules/mocha/package.json', '{}', /mocha is for development/],
      [
        'one inside of another',
        'node_modules/@temporalio/worker/node_modules/nested/package.json',
        '{}',
        /nested is for development/,
      ],
      ['a source', 'dist/bridge/pull.ts', '', /a source/],
      ['a test', 'test/unit/x.js', '', /not for an image/],
      ['settings of a machine', '.env.local', 'A=1', /not for an image/],
      ['credentials of a registry', '.npmrc', '', /not for an image/],
      ['the embedded stack', 'dist/dev/main.js', '', /embedded stack/],
      ['a key by its name', 'dist/server.key', '', /may hold a secret/],
      ['a key by its words', 'dist/bridge/words.js', `const key = \`${KEY}\``, /holds a secret/],
      ['an account of Google', 'dist/account.json', '{ "private_key": "x" }', /holds a secret/],
      ['a token of npm', 'migrations/x.sql', '//registry/:_authToken=x', /holds a secret/],
    ] as const) {
      it(`refused: ${what}`, () => {
        const faults = faultsOf({ [file]: text });
        assert.equal(faults.length, 1, JSON.stringify(faults));
        assert.match(faults[0] ?? '', fault);
      });
    }

    it('refused: what its user cannot read, or can change', () => {
      assert.deepEqual(faultsOf({ 'dist/x.js': '' }, 0o600), ["dist/x.js cannot be read by the image's user"]);
      assert.deepEqual(faultsOf({ 'dist/x.js': '' }, 0o646), ["dist/x.js can be changed by the image's user"]);
    });

    it('refused: what is missing', () => {
      const faults = contentFaults(folder(), LOCK);
      for (const name of PROCESSES) assert.ok(faults.includes(`dist/${name}/main.js is missing`), name);
      assert.ok(faults.includes('the production packages are missing'), 'the packages');
    });

    it('labels name build and commit, and nothing else will do', () => {
      const built = { BUILD_ID: '0a1b2c3d4e5f', COMMIT_SHA: '0a1b2c3d4e5f60718293a4b5c6d7e8f901234567' };
      const stage = parseDockerfile(read('Dockerfile.content-worker')).at(-1);
      const label = stage?.instructions.find(({ keyword }) => keyword === 'LABEL')?.text ?? '';
      assert.deepEqual(labelFaults(pairsOf(label, built), built), []);
      assert.equal(labelFaults(pairsOf(label, {}), built).length, 2);
    });
  });
});
