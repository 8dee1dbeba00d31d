/** What ends a start at once, and what is waited for: by the words that the servers' clients were seen to say. */
import assert from 'node:assert/strict';
import { DatabaseError } from '../../../src/activities/db.ts';
import { databaseRefusal, inWords, temporalRefusal } from '../../../src/worker/refusals.ts';

const transport = (message: string): Error => Object.assign(new Error(message), { name: 'TransportError' });
const status = (code: number): Error => Object.assign(new Error('said'), { code });
const system = (code: string): string => `Failed to call GetSystemInfo: code: '${code}', message: "said"`;
const tls = (fault: string): string =>
  `tonic::transport::Error(Transport, ConnectError(Custom { kind: InvalidData, error: ${fault} }))`;

describe('what no wait mends', () => {
  /** [error, what its fix names or null, in words] */
  const ofTemporal: readonly (readonly [Error, RegExp | null, RegExp])[] = [
    [status(5), /TEMPORAL_NAMESPACE.* --namespace n1$/, /^said$/],
    [status(7), /access to namespace n1/, /^said$/],
    [status(16), /TEMPORAL_API_KEY/, /^said$/],
    [status(14), null, /^said$/],
    [status(4), null, /^said$/],
    [status(8), null, /^said$/],
    [transport(system('The request does not have valid authentication credentials')), /TEMPORAL_API_KEY/, /^said$/],
    [transport(system('The caller does not have permission to execute the specified operation')), /access/, /^said$/],
    [transport(system('Some requested entity was not found')), /TEMPORAL_NAMESPACE/, /^said$/],
    [transport(system('The service is currently unavailable')), null, /^said$/],
    [transport(system('Some resource has been exhausted')), null, /^said$/],
    [transport(tls('InvalidCertificate(UnknownIssuer)')), /TEMPORAL_TLS/, /^InvalidCertificate\(UnknownIssuer\)$/],
    [transport(tls('AlertReceived(CertificateRequired)')), /CLIENT_CERT/, /^AlertReceived\(CertificateRequired\)$/],
    [transport(tls('InvalidMessage(InvalidContentType)')), /TEMPORAL_TLS/, /InvalidContentType/],
    [transport('tonic::transport::Error(Transport, PrivateKeyParseError)'), /CLIENT_CERT/, /^PrivateKeyParseError$/],
    [
      transport(
        'tonic::transport::Error(Transport, ConnectError(ConnectError("tcp connect error", 127.0.0.1:1, Os { code: 111, kind: ConnectionRefused, message: "Connection refused" })))',
      ),
      null,
      /^Connection refused$/,
    ],
    [
      transport(
        'tonic::transport::Error(Transport, ConnectError(ConnectError("dns error", Custom { kind: Uncategorized, error: "failed to lookup address information" })))',
      ),
      null,
      /^failed to lookup address information$/,
    ],
    [new Error('a bug'), null, /^a bug$/],
  ];
  for (const [error, fix, words] of ofTemporal) {
    it(`Temporal: ${error.message.slice(-60)} ${'code' in error ? String(error.code) : ''}: ${fix ? 'refused' : 'waits'}`, () => {
      const found = temporalRefusal(error, 'n1');
      if (fix === null) assert.equal(found, null);
      else assert.match(found ?? 'nothing', fix);
      assert.match(inWords(error), words);
    });
  }

  const ofDatabase: readonly (readonly [code: string | null, message: string, refused: boolean])[] = [
    ['28P01', 'password authentication failed for user "worker"', true],
    ['28000', 'role "worker" is not permitted to log in', true],
    ['3D000', 'database "d" does not exist', true],
    ['42501', 'permission denied', true],
    [null, 'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string', true],
    [null, 'The server does not support SSL connections', true],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'self-signed certificate in certificate chain', true],
    ['ECONNREFUSED', 'connect ECONNREFUSED 127.0.0.1:5432', false],
    ['ENOTFOUND', 'getaddrinfo ENOTFOUND db', false],
    ['57P03', 'the database system is starting up', false],
    ['53300', 'sorry, too many clients already', false],
    [null, 'timeout expired', false],
  ];
  for (const [code, message, refused] of ofDatabase) {
    it(`PostgreSQL: ${code ?? 'no code'} ${message}: ${refused ? 'refused' : 'waits'}`, () => {
      const error = new DatabaseError('read_columns', Object.assign(new Error(message), code === null ? {} : { code }));
      assert.equal(databaseRefusal(error) !== null, refused);
      assert.ok(inWords(error).includes(message), inWords(error));
    });
  }

  it('what is no answer of a server refuses nothing', () => {
    for (const odd of [undefined, null, 'x', 7, {}]) {
      assert.deepEqual([databaseRefusal(odd), temporalRefusal(odd, 'n1')], [null, null]);
    }
  });
});
