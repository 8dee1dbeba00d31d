/** The pool of a build is the pattern with another name, image and size, and nothing else. */
import assert from 'node:assert/strict';
import { stringify } from 'yaml';
import { poolManifest } from '../../../scripts/pool-manifest.ts';
import { BUILD_ID, COPY, IMAGE, NONCE, PATTERN } from './deploy-script.ts';

const wanted = { name: `dev-vividly-content-pool-${BUILD_ID}`, image: IMAGE, instances: 2, nonce: NONCE };

/** As `describe --format=export` gives it, which gcloud itself shows in deploy-requests.test.ts. */
function exported(change: (pattern: typeof PATTERN) => void = () => undefined): string {
  const pattern = structuredClone(PATTERN);
  const { metadata } = pattern as { metadata: { uid?: string; generation?: number } };
  delete metadata.uid;
  delete metadata.generation;
  delete (pattern as { status?: unknown }).status;
  change(pattern);
  return stringify(pattern);
}
const withVersioning = (value: string) =>
  exported(({ spec }) => {
    for (const each of spec.template.spec.containers[0]?.env ?? []) {
      if (each.name === 'WORKER_VERSIONING') each.value = value;
    }
  });

describe('pool manifest', () => {
  it('is the pattern with its own name, image and instances; what only one pool can have is left out', () =>
    assert.deepEqual(JSON.parse(poolManifest(exported(), wanted)), COPY));

  it('without versions the pool itself gets the image, and keeps its name, size and owner', () => {
    const { metadata, spec } = JSON.parse(poolManifest(withVersioning('0'), wanted)) as typeof PATTERN;
    assert.equal(metadata.name, PATTERN.metadata.name);
    assert.deepEqual(metadata.labels, PATTERN.metadata.labels);
    assert.equal(metadata.annotations['run.googleapis.com/manualInstanceCount'], '0');
    assert.equal(spec.template.spec.containers[0]?.image, IMAGE);
  });

  it('is another template each time: what is the same makes no revision, and workers keep an old secret', () => {
    const templates = ['abcdefghij', 'abcdefghik'].map((nonce) => {
      const { spec } = JSON.parse(poolManifest(exported(), { ...wanted, nonce })) as typeof PATTERN;
      return JSON.stringify(spec.template);
    });
    assert.notEqual(templates[0], templates[1]);
  });

  for (const [what, pattern, error] of [
    ['a pattern that does not say whether it has versions', withVersioning('true'), /WORKER_VERSIONING=0 nor 1/],
    [
      'a second container',
      exported(({ spec: { template } }) => {
        template.spec.containers = [...template.spec.containers, ...template.spec.containers];
      }),
      /containers/,
    ],
    ['another kind', exported().replace('kind: WorkerPool', 'kind: Service'), /WorkerPool/],
    ['no pattern at all', '', /expected object/],
  ] as const) {
    it(`refuses ${what}`, () => assert.throws(() => poolManifest(pattern, wanted), error));
  }

  for (const [what, change] of [
    ['an image by a tag', { image: 'us-central1-docker.pkg.dev/vividly-dev-rich/vividly/content-worker:latest' }],
    ['no nonce', { nonce: '' }],
    ['no instance', { instances: 0 }],
    ['a size that is no number', { instances: Number('two') }],
    ['a name that Cloud Run would refuse', { name: `dev-vividly-content-pool-${'a'.repeat(25)}` }],
  ] as const) {
    it(`refuses ${what}`, () => assert.throws(() => poolManifest(exported(), { ...wanted, ...change })));
  }
});
