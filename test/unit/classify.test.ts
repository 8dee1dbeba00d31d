/** The one classifier, as a table: what each kind of trouble means for the request, and that nothing confuses it. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import getPort from 'get-port';
import pg from 'pg';
import { classify, type Failure } from '../../src/activities/classify.ts';
import { DatabaseError } from '../../src/activities/db.ts';
import { GeneratorError, HttpStatusError } from '../../src/generators/generator.ts';
import { IncompleteAnswerError } from '../../src/generators/provider-http.ts';

const database = (sqlState: string): DatabaseError => {
  const cause = new pg.DatabaseError('text', 4, 'error');
  cause.code = sqlState;
  return new DatabaseError('some_statement', cause);
};
const http = (status: number): Error => Object.assign(new Error('text'), { status });
const errno = (code: string): Error => Object.assign(new Error('text'), { code });
/** As fetch throws it: the reason is a cause, sometimes of a cause. */
const fetchFailed = (cause: unknown): Error => new TypeError('fetch failed', { cause });

const unavailable = (code: string, retryAfterMs: number | null = null): Failure => ({
  kind: 'unavailable',
  code,
  retryAfterMs,
});
const transient = (code: string): Failure => ({ kind: 'transient', code });
const permanent = (code: string): Failure => ({ kind: 'permanent', code });
const configuration = (code: string): Failure => ({ kind: 'configuration', code });
const UNKNOWN = transient('unknown');

function table(cases: Readonly<Record<string, readonly [error: unknown, meaning: Failure]>>): void {
  for (const [what, [error, meaning]] of Object.entries(cases)) {
    it(`${what}: ${meaning.kind}`, () => assert.deepEqual(classify(error), meaning));
  }
}

describe('classify: the database', () => {
  // https://www.postgresql.org/docs/current/errcodes-appendix.html
  for (const sqlState of [
    '22001',
    '22003',
    '22007',
    '22021',
    '22P02',
    '22P05',
    '23502',
    '23503',
    '23505',
    '23514',
    '44000',
    '54000',
    'P0001',
  ]) {
    it(`${sqlState} refuses the data: permanent`, () => {
      assert.deepEqual(classify(database(sqlState)), permanent('database_rejected'));
    });
  }
  for (const sqlState of [
    ...['08000', '08006', '08P01', '0A000', '25006', '25P02', '25P03', '28000', '28P01', '3D000', '40001', '40P01'],
    ...['42501', '42703', '42P01', '53100', '53200', '53300', '55P03', '57014', '57P01', '57P02', '57P03'],
    ...['58030', 'F0000', 'XX000', 'XX001'],
  ]) {
    it(`${sqlState} is infrastructure: database, not counted`, () => {
      assert.deepEqual(classify(database(sqlState)), { kind: 'database', code: sqlState });
    });
  }
  table({
    'a connection that is refused': [
      new DatabaseError('connect', errno('ECONNREFUSED')),
      { kind: 'database', code: 'ECONNREFUSED' },
    ],
    'a pool that is exhausted': [
      new DatabaseError('connect', new Error('timeout exceeded when trying to connect')),
      { kind: 'database', code: 'unknown' },
    ],
    'an errno that begins like a class': [new DatabaseError('connect', errno('22')), { kind: 'database', code: '22' }],
    'no error at all as its cause': [new DatabaseError('connect', undefined), { kind: 'database', code: 'unknown' }],
  });
});

describe('classify: what the generator says itself', () => {
  table({
    'a refusal': [new GeneratorError('permanent', 'safety_block', 'text'), permanent('safety_block')],
    'a bad moment': [new GeneratorError('transient', 'http_500', 'text'), transient('http_500')],
    'a quota': [
      new GeneratorError('unavailable', 'http_429', 'text', { retryAfterMs: 7_000 }),
      unavailable('http_429', 7_000),
    ],
    'no Retry-After': [new GeneratorError('unavailable', 'http_503', 'text'), unavailable('http_503')],
    'its own word counts more than its cause': [
      new GeneratorError('transient', 'odd', 'text', { cause: http(400) }),
      transient('odd'),
    ],
  });
});

describe('classify: HTTP', () => {
  const WAITED_FOR = [429, 503];
  const OF_THE_MOMENT = [408, 409, 425, 500, 501, 502, 504, 529, 599];
  const OF_THE_SETTINGS = [301, 302, 307, 308, 401, 402, 403, 404, 405, 407];
  const FOR_GOOD = [400, 410, 411, 413, 415, 422, 451, 499];
  for (const [statuses, meaning] of [
    [WAITED_FOR, unavailable],
    [OF_THE_MOMENT, transient],
    [OF_THE_SETTINGS, configuration],
    [FOR_GOOD, permanent],
  ] as const) {
    for (const status of statuses) {
      it(`${String(status)}: ${meaning('').kind}`, () => {
        assert.deepEqual(classify(http(status)), meaning(`http_${String(status)}`));
      });
    }
  }

  it('every 4xx and 5xx has a meaning, and none but these waits without being counted', () => {
    for (let status = 400; status < 600; status += 1) {
      const { kind, code } = classify(http(status));
      assert.equal(code, `http_${String(status)}`);
      assert.equal(kind === 'unavailable', WAITED_FOR.includes(status));
      assert.equal(kind === 'configuration', OF_THE_SETTINGS.includes(status));
      assert.equal(kind === 'permanent', status < 500 && ![408, 409, 425, 429, ...OF_THE_SETTINGS].includes(status));
    }
  });

  table({
    'a status further down': [fetchFailed(http(404)), configuration('http_404')],
    'a provider that asks to wait': [new HttpStatusError(429, '', 7_000), unavailable('http_429', 7_000)],
    'a provider that asks to wait after a fault of its own: counted all the same': [
      new HttpStatusError(500, '', 7_000),
      transient('http_500'),
    ],
    'a status in words, as gRPC has it': [Object.assign(new Error('text'), { status: 'UNAVAILABLE' }), UNKNOWN],
  });
});

describe('classify: the network', () => {
  for (const code of [
    ...['ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN', 'EPIPE', 'ETIMEDOUT'],
    ...['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_SOCKET'],
  ]) {
    it(`${code}, also as a cause and as a cause's cause: unavailable`, () => {
      for (const error of [
        errno(code),
        fetchFailed(errno(code)),
        new Error('x', { cause: fetchFailed(errno(code)) }),
      ]) {
        assert.deepEqual(classify(error), unavailable(code));
      }
    });
  }

  for (const code of [
    ...['CERT_HAS_EXPIRED', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'EPROTO'],
    ...['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'ERR_TLS_CERT_ALTNAME_INVALID', 'ERR_SSL_WRONG_VERSION_NUMBER'],
  ]) {
    it(`${code}: configuration`, () => assert.deepEqual(classify(fetchFailed(errno(code))), configuration(code)));
  }

  it('an answer that broke off counts, although its cause is a lost connection', () => {
    const error = new IncompleteAnswerError('half', { cause: errno('UND_ERR_SOCKET') });
    assert.deepEqual(classify(error), transient('incomplete_answer'));
  });

  it('what fetch really throws where nobody listens', async () => {
    const error: unknown = await fetch(`http://127.0.0.1:${String(await getPort())}/`).catch(
      (reason: unknown) => reason,
    );
    assert.equal(classify(error).kind, 'unavailable');
  });
});

describe('classify: anything else is counted, and tried again', () => {
  const circle = new Error('a');
  circle.cause = new Error('b', { cause: circle });
  const self = new Error('self');
  self.cause = self;
  const getter = Object.defineProperty(new Error('x'), 'status', {
    get: () => {
      throw new Error('a getter that throws');
    },
  });
  const proxy = new Proxy(
    {},
    {
      has: () => {
        throw new Error('a proxy that throws');
      },
    },
  );
  table({
    'an Error': [new Error('text'), UNKNOWN],
    'an AbortError': [new DOMException('text', 'AbortError'), UNKNOWN],
    'a TimeoutError': [new DOMException('text', 'TimeoutError'), UNKNOWN],
    'a bug': [new TypeError('x is not a function'), UNKNOWN],
    'an errno of the file system': [errno('ENOENT'), UNKNOWN],
    'a slow answer': [errno('UND_ERR_HEADERS_TIMEOUT'), UNKNOWN],
    'a bare SQLSTATE, which only db.ts may judge': [errno('23505'), UNKNOWN],
    'a numeric code, as gRPC has it': [Object.assign(new Error('text'), { code: 14 }), UNKNOWN],
    'a text': ['ECONNREFUSED', UNKNOWN],
    undefined: [undefined, UNKNOWN],
    null: [null, UNKNOWN],
    'a cause that is no object': [new Error('x', { cause: 'ECONNREFUSED' }), UNKNOWN],
    'causes in a circle': [circle, UNKNOWN],
    'an error that is its own cause': [self, UNKNOWN],
    'a circle with something to say': [
      Object.assign(new Error('x', { cause: circle }), { status: 404 }),
      configuration('http_404'),
    ],
    'a getter that throws': [getter, UNKNOWN],
    'a proxy that throws': [proxy, UNKNOWN],
  });

  it('a chain of ten thousand causes ends', () => {
    let error: unknown = errno('ECONNREFUSED');
    for (let depth = 0; depth < 10_000; depth += 1) error = new Error('x', { cause: error });
    assert.ok(classify(error));
  });

  it('any value at all has one of the four meanings', () => {
    const kinds: readonly Failure['kind'][] = ['permanent', 'transient', 'unavailable', 'database'];
    const anything = fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true, withMap: true });
    const errorLike = fc.letrec<{ error: unknown }>((tie) => ({
      error: fc.oneof(
        { maxDepth: 4 },
        anything,
        fc.record(
          {
            status: fc.oneof(fc.integer(), fc.double(), anything),
            code: fc.oneof(fc.string(), anything),
            cause: tie('error'),
          },
          { requiredKeys: [] },
        ),
      ),
    })).error;
    fc.assert(
      fc.property(errorLike, (error) => {
        const { kind, code } = classify(error);
        assert.ok(kinds.includes(kind));
        assert.ok(code.length > 0);
      }),
      { numRuns: 2_000 },
    );
  });
});
