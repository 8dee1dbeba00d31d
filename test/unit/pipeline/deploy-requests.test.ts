/**
 * What scripts/deploy.sh makes the real gcloud ask of Cloud Run: its flags are taken, and a copied pool arrives as the
 * pattern was. Cloud Run is a server of this test's, which every name leads to by gcloud's proxy settings; nothing signs in.
 * `worker-pools delete` is not here: it wants credentials before it asks anything. The rollout's status is this test's word.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BUILD_ID, COPY, deploy, IMAGE, PATTERN } from './deploy-script.ts';

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

const NAMESPACE = '/apis/run.googleapis.com/v1/namespaces/vividly-dev-rich';
const HOST = 'us-central1-run.invalid';
const READY = { observedGeneration: 1, conditions: [{ type: 'Ready', status: 'True' }] };
const job = (name: string): object => ({
  apiVersion: 'run.googleapis.com/v1',
  kind: 'Job',
  metadata: { name, namespace: '123456789', generation: 1, labels: {}, annotations: {} },
  spec: {
    template: {
      metadata: { labels: {}, annotations: { 'run.googleapis.com/execution-environment': 'gen2' } },
      spec: {
        taskCount: 1,
        template: { spec: { maxRetries: 0, containers: [{ image: 'before', args: ['migrate'] }] } },
      },
    },
  },
  status: READY,
});

const EXECUTION = {
  apiVersion: 'run.googleapis.com/v1',
  kind: 'Execution',
  metadata: { name: 'dev-vividly-content-migrate-x7k2p', namespace: '123456789', labels: {}, annotations: {} },
  spec: { taskCount: 1, template: { spec: { containers: [{ image: IMAGE }] } } },
  status: { conditions: [{ type: 'Completed', status: 'True' }], succeededCount: 1 },
};

const pool = (copy: typeof COPY): object => ({
  ...PATTERN,
  metadata: { ...PATTERN.metadata, ...copy.metadata },
  spec: copy.spec,
});

/** Whether the pool of the build is there already. */
const deployed = { pool: false };

/** Cloud Run as far as these commands see it: what is there, and what is written or run is done at once. */
function answer(method: string, where: string, body: unknown): object | null {
  if (where.endsWith(':run') || where.includes('/executions/')) return EXECUTION;
  if (method === 'GET' && where === `${NAMESPACE}/workerpools/dev-vividly-content-pool`) return PATTERN;
  const [, name] = /\/jobs\/([\w-]+)$/.exec(where) ?? [];
  if (method === 'GET' && name !== undefined) return job(name);
  if (method === 'GET' && deployed.pool && where === `${NAMESPACE}/workerpools/${COPY.metadata.name}`)
    return pool(COPY);
  if (method === 'GET' && where === `${NAMESPACE}/workerpools`) {
    return { apiVersion: PATTERN.apiVersion, kind: 'WorkerPoolList', metadata: {}, items: [PATTERN, pool(COPY)] };
  }
  if (method === 'GET') return null;
  const { metadata, ...rest } = body as { metadata: object };
  return { ...rest, metadata: { ...metadata, generation: 1 }, status: READY };
}

/** What gcloud says about itself. */
function withoutClient(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (key, each: unknown) =>
      /^(run\.googleapis\.com\/(client-name|client-version|launch-stage)|client\.knative\.dev\/nonce)$/.test(key)
        ? undefined
        : each,
    ),
  );
}

describe('deploy.sh with gcloud', function () {
  this.timeout(180_000);
  const asked: Asked[] = [];
  let server: Server;
  let config: string;
  before(async () => {
    config = mkdtempSync(path.join(tmpdir(), 'gcloud-'));
    server = createServer((request, response) => {
      let text = '';
      request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      request.on('end', () => {
        const url = new URL(request.url ?? '');
        const body: unknown = text === '' ? null : JSON.parse(text);
        const method = request.method ?? '';
        asked.push({ method, path: `${url.host}${url.pathname}`, body });
        const found = answer(method, url.pathname, body);
        response.writeHead(found === null ? 404 : 200, { 'content-type': 'application/json' });
        response.end(JSON.stringify(found ?? { error: { code: 404, message: 'not found', status: 'NOT_FOUND' } }));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  after(() => {
    server.close();
    rmSync(config, { recursive: true });
  });
  beforeEach(() => (asked.length = 0));

  /** @param status What npm says, whatever it is asked; it also writes down the question. */
  const run = (verb: string, args: readonly string[] = [IMAGE, BUILD_ID], status = 'null') => {
    const bin = path.join(config, 'bin');
    mkdirSync(bin, { recursive: true });
    writeFileSync(path.join(bin, 'npm'), `#!/bin/sh\necho "$*" >>'${bin}/asked'\necho '${status}'\n`, { mode: 0o755 });
    return deploy([verb, 'dev', ...args], {
      PATH: `${bin}:${process.env['PATH'] ?? ''}`,
      CLOUDSDK_CONFIG: config,
      CLOUDSDK_AUTH_DISABLE_CREDENTIALS: 'true',
      CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: 'http://run.invalid/',
      CLOUDSDK_PROXY_TYPE: 'http',
      CLOUDSDK_PROXY_ADDRESS: '127.0.0.1',
      CLOUDSDK_PROXY_PORT: String((server.address() as AddressInfo).port),
      CLOUDSDK_CORE_DISABLE_USAGE_REPORTING: 'true',
    });
  };

  it('pool: what is made is the pattern, word for word, with name, image and instances of the build', async () => {
    const { code, stderr } = await run('pool');
    assert.equal(code, 0, stderr);
    const { method, path: where, body } = asked.at(-1) ?? { method: '', path: '', body: null };
    assert.deepEqual([method, where], ['POST', `${HOST}${NAMESPACE}/workerpools`]);
    const { metadata, ...rest } = withoutClient(body) as typeof COPY;
    const wanted = { ...COPY, metadata: { ...COPY.metadata, namespace: 'vividly-dev-rich' } };
    assert.deepEqual({ metadata, ...rest }, withoutClient(wanted));
    assert.match(JSON.stringify(body), /"client\.knative\.dev\/nonce":"[a-z]{10}"/);
    // Nobody else was asked: no right beyond those on Cloud Run is needed.
    assert.deepEqual([...new Set(asked.map((each) => each.path.split('/')[0]))], [HOST]);
  });

  for (const [verb, name] of [
    ['migrate', 'dev-vividly-content-migrate'],
    ['bridge', 'dev-vividly-content-worker'],
  ] as const) {
    it(`${verb}: the job keeps everything but its image`, async () => {
      const { code, stderr } = await run(verb);
      assert.equal(code, 0, stderr);
      const put = asked.find(({ method }) => method === 'PUT');
      assert.ok(put !== undefined, stderr);
      assert.equal(put.path, `${HOST}${NAMESPACE}/jobs/${name}`);
      const { spec } = withoutClient(put.body) as { spec: unknown };
      const expected = structuredClone(job(name)) as { spec: unknown };
      assert.deepEqual(spec, JSON.parse(JSON.stringify(expected.spec).replace('"before"', `"${IMAGE}"`)));
      const runs = asked.filter((each) => each.path.endsWith(`/jobs/${name}:run`));
      assert.equal(runs.length, verb === 'migrate' ? 1 : 0, 'only migrations are run here');
    });
  }

  const current = JSON.stringify({ current: BUILD_ID, ramping: null, builds: [] });

  it("note: the bridge's image, as its job has it", async () => {
    const note = path.join(config, 'note');
    const { code, stderr } = await run('note', [note], current);
    assert.equal(code, 0, stderr);
    assert.equal(readFileSync(note, 'utf8'), `${BUILD_ID}\nbefore\n`);
  });

  it("follow: the bridge gets the image of the current build's pool", async () => {
    deployed.pool = true;
    const { code, stderr } = await run('follow', [], current);
    assert.equal(code, 0, stderr);
    const put = asked.find(({ method }) => method === 'PUT');
    assert.equal(put?.path, `${HOST}${NAMESPACE}/jobs/dev-vividly-content-worker`);
    assert.ok(JSON.stringify(put.body).includes(`"${IMAGE}"`), 'its image');
  });

  it('sweep: finds the pools that there are', async () => {
    const over = { buildId: BUILD_ID, status: 'drained', lastCurrentMs: null, firstActiveMs: 1 };
    // It ends at the deletion, for which nobody is signed in.
    await run('sweep', [], JSON.stringify({ current: 'b9', ramping: null, builds: [over] }));
    assert.ok(asked.some((each) => each.path === `${HOST}${NAMESPACE}/workerpools`));
    const questions = readFileSync(path.join(config, 'bin', 'asked'), 'utf8');
    assert.match(questions, new RegExp(`rollout -- drained ${BUILD_ID}\n$`), 'the pool is found');
  });
});
