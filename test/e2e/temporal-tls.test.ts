/**
 * TLS and mTLS to a real Temporal server, behind a proxy that ends TLS. 0.0.0.0 reaches this machine and is no loopback
 * address, so what is decided by default for hosts elsewhere is shaken hands over for real.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { readTemporalConfig } from '../../src/config.ts';
import { projectRoot } from '../../src/dev/paths.ts';
import { makeAuthority, signedBy, type Pem } from '../support/certificates.ts';
import { startProcess } from '../support/deployment.ts';
import { startTestTemporal, type TestTemporal } from '../support/temporal.ts';
import { startTlsProxy, type TlsProxy } from '../support/tls-proxy.ts';
import { waitFor } from '../support/wait-for.ts';

const LIMIT_MS = 3_000;

describe('TLS to Temporal, for real', () => {
  let temporal: TestTemporal;
  let tls: TlsProxy;
  let mutual: TlsProxy;
  let folder: string;
  const at = (name: string): string => path.join(folder, name);

  before(async () => {
    temporal = await startTestTemporal();
    const [host = '', port = ''] = temporal.address.split(':');
    const target = { host, port: Number(port) };
    folder = mkdtempSync(path.join(tmpdir(), 'temporal-tls-'));
    const keep = (name: string, { cert, key }: Pem): void => {
      writeFileSync(at(`${name}.pem`), cert);
      writeFileSync(at(`${name}.key`), key);
    };
    const [authority, stranger] = await Promise.all([makeAuthority('temporal'), makeAuthority('stranger')]);
    const server = await signedBy(authority, { commonName: 'localhost', dns: ['localhost', 'temporal.internal'] });
    keep('authority', authority);
    keep('stranger', stranger);
    keep('client', await signedBy(authority, { commonName: 'worker' }));
    keep('intruder', await signedBy(stranger, { commonName: 'worker' }));
    tls = await startTlsProxy(target, server, null);
    mutual = await startTlsProxy(target, server, authority.cert);
  });
  after(async () => {
    await tls.stop();
    await mutual.stop();
    await temporal.stop();
    rmSync(folder, { recursive: true });
  });

  /** Both clients that the product has, gRPC in JavaScript and in Rust: each has TLS of its own. */
  async function answers(env: Readonly<Record<string, string>>): Promise<void> {
    const { connection: options, namespace } = readTemporalConfig({ LOG_LEVEL: 'error', ...env });
    const native = await NativeConnection.connect(options);
    try {
      await native.withDeadline(Date.now() + LIMIT_MS, () => native.workflowService.describeNamespace({ namespace }));
    } finally {
      await native.close();
    }
    const plain = await Connection.connect({ ...options, connectTimeout: LIMIT_MS });
    await plain.close();
  }
  const refused = async (env: Readonly<Record<string, string>>): Promise<void> => {
    const { connection: options } = readTemporalConfig(env);
    await assert.rejects(NativeConnection.connect(options).then((made) => made.close()));
    await assert.rejects(Connection.connect({ ...options, connectTimeout: LIMIT_MS }).then((made) => made.close()));
  };
  const trusting = (proxy: TlsProxy, host = 'localhost'): Record<string, string> => ({
    TEMPORAL_ADDRESS: `${host}:${String(proxy.port)}`,
    TEMPORAL_TLS_SERVER_CA_CERT_PATH: at('authority.pem'),
  });
  const as = (name: string): Record<string, string> => ({
    TEMPORAL_TLS_CLIENT_CERT_PATH: at(`${name}.pem`),
    TEMPORAL_TLS_CLIENT_KEY_PATH: at(`${name}.key`),
  });

  it('a server of an authority of its own, named in TEMPORAL_TLS_SERVER_CA_CERT_PATH', async () => {
    const before = tls.counts.agreed;
    await answers(trusting(tls));
    assert.equal(tls.counts.agreed - before, 2, 'one handshake of each client');
  });

  it('a certificate of another authority, and one for another name, are refused', async () => {
    await refused({ ...trusting(tls), TEMPORAL_TLS_SERVER_CA_CERT_PATH: at('stranger.pem') });
    await refused(trusting(tls, '127.0.0.1'));
    await answers({ ...trusting(tls, '127.0.0.1'), TEMPORAL_TLS_SERVER_NAME: 'temporal.internal' });
  }).timeout(90_000);

  it('elsewhere TLS is spoken without a word, so that a certificate of nobody is refused and not trusted', async () => {
    const before = tls.counts.refused;
    await refused({ TEMPORAL_ADDRESS: `0.0.0.0:${String(tls.port)}` });
    await waitFor('the handshakes that were broken off', () => tls.counts.refused > before);
    const plain = temporal.address.replace('127.0.0.1', '0.0.0.0');
    await refused({ TEMPORAL_ADDRESS: plain });
    // The twin: it is TLS that fails there, for without it the same server answers.
    await answers({ TEMPORAL_ADDRESS: plain, TEMPORAL_TLS: 'false' });
  }).timeout(90_000);

  it('mTLS: with a certificate of the right authority, and neither without nor with another', async () => {
    const before = mutual.counts.agreed;
    await answers({ ...trusting(mutual), ...as('client') });
    assert.equal(mutual.counts.agreed - before, 2);
    await refused(trusting(mutual));
    await refused({ ...trusting(mutual), ...as('intruder') });
    assert.equal(mutual.counts.agreed - before, 2);
  }).timeout(90_000);

  for (const [name, more] of [
    [
      'bridge',
      {
        GOOGLE_CLOUD_PROJECT: 'project',
        PUBSUB_TOPIC: 'topic',
        PUBSUB_SUBSCRIPTION: 'subscription',
        PUBSUB_DLQ_TOPIC: 'dlq',
        PUBSUB_DLQ_SUBSCRIPTION: 'dlq-sub',
        PUBSUB_EMULATOR_HOST: '127.0.0.1:1',
        METADATA_SERVER_DETECTION: 'none',
        BRIDGE_OUTAGE_LIMIT_MS: '300',
        BRIDGE_START_DEADLINE_MS: '300',
      },
    ],
    ['worker', { DATABASE_URL: 'postgresql://u:p@127.0.0.1:1/d' }],
  ] as const) {
    it(`${name}: TLS that is turned off is warned of, and only off this machine`, async () => {
      const run = async (TEMPORAL_ADDRESS: string): Promise<Record<string, unknown>[]> => {
        const env = { ...more, TEMPORAL_ADDRESS, TEMPORAL_TLS: 'false', LOG_FORMAT: 'json' };
        const started = startProcess(path.join(projectRoot, `src/${name}/main.ts`), [], env);
        const state = { ended: false };
        const end = started.ended.finally(() => (state.ended = true));
        // The bridge ends, the worker waits: for a database that is not there, either way.
        await waitFor(
          'it ends or waits',
          () => state.ended || started.output().includes('the worker cannot start yet'),
        );
        if (!state.ended) await started.stop();
        await end;
        const told = (line: Record<string, unknown>): boolean =>
          String(line['message']).startsWith('TLS to Temporal is turned');
        return started.lines().filter(told);
      };
      const [elsewhere, here] = await Promise.all([run('0.0.0.0:1'), run('127.0.0.1:1')]);
      assert.deepEqual([elsewhere.length, elsewhere[0]?.['severity']], [1, 'WARNING']);
      assert.deepEqual(here, []);
    });
  }
});
