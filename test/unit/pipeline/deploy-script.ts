/** scripts/deploy.sh as the pipeline starts it, and what Cloud Run has for a pattern pool. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { projectRoot } from '../../../src/dev/paths.ts';

export const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;
export const IMAGE = `us-central1-docker.pkg.dev/vividly-dev-rich/vividly/content-worker@${DIGEST}`;
export const BUILD_ID = '0a1b2c3d4e5f';

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Nothing of the test's environment but PATH and HOME, so that nobody's gcloud is configured into it. */
export function deploy(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Ended> {
  const child = spawn(path.join(projectRoot, 'scripts/deploy.sh'), args, {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], GOOGLE_CLOUD_PROJECT: 'vividly-dev-rich', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** As Cloud Run's API answers for what terraform/worker_pool.tf makes; only the values are made up. */
export const PATTERN = {
  apiVersion: 'run.googleapis.com/v1',
  kind: 'WorkerPool',
  metadata: {
    name: 'dev-vividly-content-pool',
    namespace: '123456789',
    uid: '3f0c',
    generation: 3,
    labels: {
      'cloud.googleapis.com/location': 'us-central1',
      'goog-terraform-provisioned': 'true',
      environment: 'dev',
    },
    annotations: {
      'run.googleapis.com/creator': 'terraform@example.com',
      'run.googleapis.com/lastModifier': 'terraform@example.com',
      'run.googleapis.com/manualInstanceCount': '0',
      'run.googleapis.com/scalingMode': 'manual',
    },
  },
  spec: {
    template: {
      metadata: {
        name: 'dev-vividly-content-pool-00003-abc',
        annotations: { 'run.googleapis.com/vpc-access-egress': 'private-ranges-only' },
      },
      spec: {
        serviceAccountName: 'dev-content-worker@vividly-dev-rich.iam.gserviceaccount.com',
        containers: [
          {
            image: 'us-central1-docker.pkg.dev/vividly-dev-rich/vividly/content-worker:latest',
            command: ['env'],
            args: ['PORT=8080', 'content-worker', 'worker'],
            env: [
              { name: 'WORKER_VERSIONING', value: '1' },
              // Words that YAML readers take for something else.
              { name: 'GENERATOR_PROMPT_VERSION', value: 'n' },
              { name: 'ALGORITHM', value: '0123' },
              { name: 'DATABASE_URL', valueFrom: { secretKeyRef: { name: 'dev-vividly-database-url', key: '3' } } },
            ],
            livenessProbe: { httpGet: { path: '/health', port: 8080 }, periodSeconds: 30 },
            resources: { limits: { cpu: '1', memory: '1Gi' } },
          },
        ],
      },
    },
    instanceSplits: [{ latestRevision: true, percent: 100 }],
  },
  status: { observedGeneration: 3, conditions: [{ type: 'Ready', status: 'True' }] },
};

export const NONCE = 'abcdefghij';

/** What the copy of a build must be. */
export const COPY = {
  apiVersion: PATTERN.apiVersion,
  kind: PATTERN.kind,
  metadata: {
    name: `dev-vividly-content-pool-${BUILD_ID}`,
    labels: { 'cloud.googleapis.com/location': 'us-central1', environment: 'dev' },
    annotations: { 'run.googleapis.com/manualInstanceCount': '2', 'run.googleapis.com/scalingMode': 'manual' },
  },
  spec: {
    template: {
      metadata: {
        annotations: PATTERN.spec.template.metadata.annotations,
        labels: { 'client.knative.dev/nonce': NONCE },
      },
      spec: {
        ...PATTERN.spec.template.spec,
        containers: PATTERN.spec.template.spec.containers.map((container) => ({ ...container, image: IMAGE })),
      },
    },
  },
};
