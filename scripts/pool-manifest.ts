/**
 * The worker pool of one build, from the pattern pool that terraform keeps: `gcloud beta run worker-pools describe PATTERN
 * --format=export` on stdin, what `replace` takes on stdout. Everything but name, image, size and nonce is the pattern's. Where
 * the pattern's workers are not versioned there is one pool, and only its image changes.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';
import { orExplain } from './explain.ts';

const INSTANCES = 'run.googleapis.com/manualInstanceCount';
const MODE = 'run.googleapis.com/scalingMode';
/**
 * A template as it was makes no new revision, so workers would keep a secret's old version. gcloud's own verbs set this
 * label for the same reason, except `replace`.
 */
const NONCE = 'client.knative.dev/nonce';
/** Said by the server; a copy has its own. */
const OF_THE_SERVER = ['run.googleapis.com/creator', 'run.googleapis.com/lastModifier'];

const container = z.looseObject({
  image: z.string(),
  env: z.array(z.looseObject({ name: z.string(), value: z.string().optional() })),
});
const manifest = z.looseObject({
  kind: z.literal('WorkerPool'),
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    annotations: z.record(z.string(), z.string()),
    labels: z.record(z.string(), z.string()),
  }),
  spec: z.looseObject({
    instanceSplits: z.unknown(),
    template: z.looseObject({
      metadata: z
        .looseObject({ name: z.string().optional(), labels: z.record(z.string(), z.string()).optional() })
        .optional(),
      spec: z.looseObject({ containers: z.tuple([container]) }),
    }),
  }),
});

const pool = z.strictObject({
  name: z.string().regex(/^[a-z]([a-z0-9-]{0,47}[a-z0-9])?$/),
  image: z.string().regex(/@sha256:[0-9a-f]{64}$/),
  instances: z.int().min(1),
  /** Another one for each time, so that the workers start anew. */
  nonce: z.string().regex(/^[a-z]{10}$/),
});
export type Pool = z.infer<typeof pool>;

export function poolManifest(pattern: string, wanted: Pool): string {
  const { name, image, instances, nonce } = pool.parse(wanted);
  const copy = manifest.parse(parse(pattern));
  const { metadata, spec } = copy;
  const [worker] = spec.template.spec.containers;
  const versioning = worker.env.find((each) => each.name === 'WORKER_VERSIONING')?.value;
  if (versioning !== '0' && versioning !== '1') throw new Error('the pattern says neither WORKER_VERSIONING=0 nor 1');
  worker.image = image;
  // Names of revisions are given once, and shares are of revisions.
  delete spec.template.metadata?.name;
  spec.template.metadata = {
    ...spec.template.metadata,
    labels: { ...spec.template.metadata?.labels, [NONCE]: nonce },
  };
  delete spec.instanceSplits;
  // The project's number: replace would ask the resource manager whether that is this project.
  delete metadata.namespace;
  for (const annotation of OF_THE_SERVER) Reflect.deleteProperty(metadata.annotations, annotation);
  if (versioning === '1') {
    metadata.name = name;
    metadata.annotations = { ...metadata.annotations, [INSTANCES]: String(instances), [MODE]: 'manual' };
    // Terraform does not own the copy.
    delete metadata.labels['goog-terraform-provisioned'];
  }
  // JSON, which is YAML: gcloud writes a text such as `n` or `off` without quotes, and reads it as false.
  return `${JSON.stringify(copy, null, 2)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [name = '', image = '', instances = ''] = process.argv.slice(2);
  const nonce = Array.from(randomBytes(10), (byte) => String.fromCharCode(97 + (byte % 26))).join('');
  orExplain('pool-manifest', () => {
    process.stdout.write(poolManifest(readFileSync(0, 'utf8'), { name, image, instances: Number(instances), nonce }));
  });
}
