/** What the shell has exported for other servers, and which of it reaches the demonstration's processes. */
import assert from 'node:assert/strict';
import { isThisMachine } from '../../../src/dev/named-parts.ts';
import { partsEnvironment } from '../../../src/dev/shell-environment.ts';

const NONE_NAMED = { databaseIsNamed: false, temporalIsNamed: false, generatorOfShell: false };

describe('the shell of npm start', () => {
  const shell = {
    PATH: '/bin',
    LOG_LEVEL: 'debug',
    GENERATOR: 'other',
    GENERATOR_TIMEOUT_MS: '1',
    PROVIDER_KEY: 'k',
    RETRY_MAX_ATTEMPTS: '1',
    TEMPORAL_NAMESPACE: 'production',
    TEMPORAL_TLS_CLIENT_CERT_PATH: '/c',
    PGPASSWORD: 'p',
    DATABASE_URL: '',
    no_proxy: 'intranet',
  };

  it('keeps what is no setting of ours, and names what it leaves out', () => {
    const { env, ignored } = partsEnvironment(shell, NONE_NAMED);
    const { no_proxy: proxy, NO_PROXY, ...rest } = env;
    assert.deepEqual(rest, { PATH: '/bin', LOG_LEVEL: 'debug', PROVIDER_KEY: 'k', GENERATOR: 'template' });
    assert.deepEqual([proxy, NO_PROXY], Array(2).fill('intranet,localhost,127.0.0.1,::1'));
    assert.deepEqual(ignored, [
      'GENERATOR',
      'GENERATOR_TIMEOUT_MS',
      'RETRY_MAX_ATTEMPTS',
      'TEMPORAL_NAMESPACE',
      'TEMPORAL_TLS_CLIENT_CERT_PATH',
      'PGPASSWORD',
    ]);
  });

  it('--generator env: the generator is the shell’s, the stack is not', () => {
    const { env } = partsEnvironment(shell, { ...NONE_NAMED, generatorOfShell: true });
    assert.deepEqual([env['GENERATOR'], env['GENERATOR_TIMEOUT_MS'], env['PROVIDER_KEY']], ['other', '1', 'k']);
    assert.deepEqual([env['RETRY_MAX_ATTEMPTS'], env['TEMPORAL_NAMESPACE']], [undefined, undefined]);
    const unset = partsEnvironment({}, { ...NONE_NAMED, generatorOfShell: true });
    assert(!('GENERATOR' in unset.env));
  });

  it('the twins: named parts keep what belongs to them', () => {
    const { env } = partsEnvironment(shell, { databaseIsNamed: true, temporalIsNamed: true, generatorOfShell: false });
    assert.deepEqual([env['TEMPORAL_NAMESPACE'], env['PGPASSWORD']], ['production', 'p']);
  });

  for (const host of [
    'localhost',
    'LOCALHOST',
    'db.localhost',
    '127.0.0.1',
    '127.0.1.1',
    '[::1]',
    '::1',
    '0.0.0.0',
    '/run/pg',
  ]) {
    it(`${host} is this machine`, () => assert.equal(isThisMachine(host), true));
  }
  for (const host of [
    'db.example.com',
    '10.0.0.1',
    'localhost.example.com',
    '127.0.0.1.nip.io',
    '::2',
    'notlocalhost',
    '',
  ]) {
    it(`the twin: ${host || 'nothing'} is not`, () => assert.equal(isThisMachine(host), false));
  }
});
