/**
 * The worker pool of one build, from the pattern pool that terraform keeps: `gcloud run worker-pools describe PATTERN
 * --format=export` on stdin, what `replace` takes on stdout. Everything but name, image and size is the pattern's. Where
 * the pattern's workers are not versioned there is one pool, and only its image changes.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import { z } from 'zod';

const INSTANCES = 'run.googleapis.com/manualInstanceCount';
const MODE = 'run.googleapis.com/scalingMode';

const container = z.looseObject({
  image: z.string(),
  env: z.array(z.looseObject({ name: z.string(), value: z.string().optional() })).optional(),
});
const manifest = z.looseObject({
  kind: z.literal('WorkerPool'),
  metadata: z.looseObject({
    name: z.string(),
    annotations: z.record(z.string(), z.string()).optional(),
    labels: z.record(z.string(), z.string()).optional(),
  }),
  spec: z.looseObject({
    template: z.looseObject({
      metadata: z.looseObject({ name: z.string().optional() }).optional(),
      spec: z.looseObject({ containers: z.array(container).length(1) }),
    }),
  }),
});

export interface Pool {
  readonly name: string;
  readonly image: string;
  readonly instances: number;
}

export function poolManifest(pattern: string, { name, image, instances }: Pool): string {
  const pool = manifest.parse(parse(pattern));
  const { template } = pool.spec;
  const [worker] = template.spec.containers;
  if (worker === undefined) throw new Error('the pattern has no container');
  const versioned = worker.env?.find((each) => each.name === 'WORKER_VERSIONING')?.value !== '0';
  worker.image = image;
  // Names of revisions are given once.
  delete template.metadata?.name;
  // Shares of the pattern's revisions, which the copy has not.
  delete pool.spec['instanceSplits'];
  if (versioned) {
    pool.metadata.name = name;
    pool.metadata.annotations = { ...pool.metadata.annotations, [INSTANCES]: String(instances), [MODE]: 'manual' };
    // Terraform does not own the copy.
    delete pool.metadata.labels?.['goog-terraform-provisioned'];
  }
  return stringify(pool);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [name = '', image = '', instances = ''] = process.argv.slice(2);
  process.stdout.write(poolManifest(readFileSync(0, 'utf8'), { name, image, instances: Number(instances) }));
}
