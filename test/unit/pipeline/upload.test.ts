/** What `gcloud builds submit` would upload, as gcloud itself lists it: all that the build's tests look at, no secret. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { getFileInfo } from 'prettier';
import { projectRoot } from '../../../src/dev/paths.ts';

/** Which the sign-in of a GitHub job leaves in the checkout. */
const CREDENTIALS = 'gha-creds-0123456789abcdef.json';

describe('upload to cloud build', function () {
  this.timeout(180_000);
  let folder: string;
  before(() => (folder = mkdtempSync(path.join(tmpdir(), 'upload-'))));
  after(() => rmSync(folder, { recursive: true }));

  function uploaded(root: string): string[] {
    const { status, stdout, stderr } = spawnSync('gcloud', ['meta', 'list-files-for-upload', root], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], CLOUDSDK_CONFIG: path.join(folder, 'config') },
    });
    assert.equal(status, 0, stderr);
    return stdout.split('\n').slice(0, -1).sort();
  }

  it('every source, test, script, page and terraform file is among it', () => {
    const folders = ['.ci', '.github', 'docs', 'migrations', 'scripts', 'src', 'terraform', 'test'];
    const there = folders.flatMap((name) =>
      readdirSync(path.join(projectRoot, name), { recursive: true, withFileTypes: true })
        .filter(
          (entry) =>
            entry.isFile() && !/\.terraform|\.tfstate|^tfplan$|\.log$/.test(path.join(entry.parentPath, entry.name)),
        )
        .map((entry) => path.relative(projectRoot, path.join(entry.parentPath, entry.name))),
    );
    assert.ok(there.length > 300, 'the twin: the tree was read');
    const listed = new Set(uploaded(projectRoot));
    assert.deepEqual(
      [...there, 'package-lock.json', 'Dockerfile.content-worker', '.dockerignore', '.gcloudignore'].filter(
        (file) => !listed.has(file),
      ),
      [],
    );
  });

  it('what git ignores, its history and secrets stay here', () => {
    const root = path.join(folder, 'tree');
    const kept = ['src/main.ts', 'test/main.test.ts', '.github/workflows/ci.yml'];
    const left = [
      '.git/config',
      'node_modules/package/index.js',
      'dist/main.js',
      '.data/rows',
      '.env',
      '.env.local',
      'terraform/.terraform/provider',
      'terraform/terraform.tfstate',
      'terraform/tfplan',
      'npm-debug.log',
      CREDENTIALS,
    ];
    for (const file of [...kept, ...left]) {
      mkdirSync(path.join(root, path.dirname(file)), { recursive: true });
      writeFileSync(path.join(root, file), '');
    }
    for (const file of ['.gcloudignore', '.gitignore']) {
      copyFileSync(path.join(projectRoot, file), path.join(root, file));
    }
    assert.deepEqual(uploaded(root), [...kept, '.gcloudignore', '.gitignore'].sort());

    // The twin: without its line the credentials would go.
    const ignored = readFileSync(path.join(projectRoot, '.gitignore'), 'utf8');
    writeFileSync(path.join(root, '.gitignore'), ignored.replace('gha-creds-*.json', ''));
    assert.ok(uploaded(root).includes(CREDENTIALS), 'the credentials are uploaded');
  });

  it('credentials of the pipeline are none of what prettier checks, and no image is made with them', async () => {
    const ignored = async (file: string): Promise<boolean> => {
      const ignorePath = ['.gitignore', '.prettierignore'].map((name) => path.join(projectRoot, name));
      return (await getFileInfo(path.join(projectRoot, file), { ignorePath })).ignored;
    };
    assert.equal(await ignored(CREDENTIALS), true);
    assert.equal(await ignored('tsconfig.json'), false, 'the twin: another file of the root is checked');
    const [first] = /^[^#].*$/m.exec(readFileSync(path.join(projectRoot, '.dockerignore'), 'utf8')) ?? [];
    assert.equal(first, '*', 'the context of the image is what is named there, and nothing else');
  });
});
