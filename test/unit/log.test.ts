import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { LogConfig } from '../../src/config.ts';
import { createLogger, traceFields, type Logger } from '../../src/log.ts';
import { temporalLogger } from '../../src/worker/temporal-logger.ts';

interface Captured {
  readonly log: Logger;
  readonly text: () => string;
  readonly lines: () => Record<string, unknown>[];
}

function capture(config: Partial<LogConfig> = {}, bindings: Record<string, unknown> = {}): Captured {
  const written: string[] = [];
  const log = createLogger({ level: 'info', format: 'json', project: null, ...config }, bindings, {
    write: (line: string) => void written.push(line),
  });
  const text = (): string => written.join('');
  return {
    log,
    text,
    lines: () =>
      text()
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

function only(captured: Captured): Record<string, unknown> {
  const [line, ...more] = captured.lines();
  assert.ok(line !== undefined && more.length === 0);
  return line;
}

describe('log: JSON', () => {
  it('writes what Cloud Logging reads', () => {
    const captured = capture({ level: 'trace' }, { component: 'bridge' });
    for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const) captured.log[level]('m');
    assert.deepEqual(
      captured.lines().map((line) => line['severity']),
      ['DEBUG', 'DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'],
    );
    const [line = {}] = captured.lines();
    assert.deepEqual(Object.keys(line), ['severity', 'time', 'component', 'message']);
    assert.match(String(line['time']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.equal(line['message'], 'm');
  });

  it('has correlation_id at the top, from a line or a child', () => {
    const captured = capture();
    captured.log.child({ correlation_id: 'a' }).info('m');
    captured.log.info({ correlationId: 'b' }, 'm');
    assert.deepEqual(
      captured.lines().map((line) => line['correlation_id']),
      ['a', 'b'],
    );
  });

  it('is one line for each call, whatever is in it', () => {
    const captured = capture();
    captured.log.info({ value: 'a\n{"severity":"CRITICAL"}' }, 'b\nc');
    assert.equal(only(captured)['message'], 'b\nc');
  });

  it("lets no field stand in for the logger's own", () => {
    const captured = capture();
    captured.log.info({ severity: 'CRITICAL', time: 'never', message: 'forged', stack_trace: 'x' }, 'real');
    assert.equal(captured.text().match(/"severity":/g)?.length, 1);
    const line = only(captured);
    assert.equal(line['severity'], 'INFO');
    assert.equal(line['message'], 'real');
    assert.equal(line['severity_'], 'CRITICAL');
  });

  it('serialises errors with code, message and causes, without their other fields', () => {
    const captured = capture();
    const error = Object.assign(new Error('refused', { cause: new Error('socket') }), {
      code: '23505',
      detail: 'Key (x)=(y)',
    });
    captured.log.warn({ err: error }, 'm');
    const line = only(captured);
    assert.deepEqual(line['err'], {
      type: 'Error',
      message: 'refused',
      code: '23505',
      cause: { type: 'Error', message: 'socket' },
    });
    assert.ok(!('stack_trace' in line));
  });

  it('has the stack at error, and for every error at debug', () => {
    const captured = capture();
    captured.log.error(new Error('one\n    at forged (x.ts:1)'));
    assert.match(String(only(captured)['stack_trace']), /^Error: one\n[\s\S]*log\.test/);
    assert.equal(only(captured)['message'], 'one\n    at forged (x.ts:1)');
    const verbose = capture({ level: 'debug' });
    verbose.log.info({ err: new Error('two') }, 'm');
    assert.match(String(only(verbose)['stack_trace']), /^Error: two\n/);
  });
});

describe('log: secrets and student text', () => {
  const keys = [
    'secret',
    'password',
    'token',
    'authorization',
    'student_id',
    'studentId',
    'student_query',
    'topic',
    'DATABASE_URL',
  ];
  for (const format of ['json', 'pretty'] as const) {
    for (const key of keys) {
      it(`redacts ${key} (${format}) in fields, depths, children, bindings and arguments`, () => {
        const captured = capture({ format }, { [key]: 'hunter2' });
        captured.log.info({ [key]: 'hunter2', a: [{ b: { [key]: { c: 'hunter2' } } }] }, 'm');
        captured.log
          .child({ [key]: 'hunter2' })
          .child({ x: 1 })
          .info('m %o', { [key]: 'hunter2' });
        assert.doesNotMatch(captured.text(), /hunter2/);
        assert.match(captured.text(), /redacted/);
      });
    }

    it(`strips credentials of URLs (${format})`, () => {
      const captured = capture({ format });
      captured.log.error(new Error('cannot reach postgres://u:hunter2@h/d'));
      captured.log.info({ at: 'https://u:hunter2@h/' }, 'postgres://u:hunter2@h/d');
      assert.doesNotMatch(captured.text(), /hunter2/);
    });
  }

  it('the twin: another key is shown', () => {
    const captured = capture();
    captured.log.info({ stage: 'hunter2' }, 'm');
    assert.match(captured.text(), /hunter2/);
  });
});

describe('log: pretty', () => {
  it('writes nothing that moves a cursor or forges a line', () => {
    const captured = capture({ format: 'pretty' });
    const nasty = 'a\u001b[2J\r\n[00:00:00.000] ERROR: forged\u009b\u202e';
    captured.log.warn({ value: nasty, [nasty]: nasty, err: new Error(nasty) }, nasty);
    captured.log.error(new Error(nasty));
    // Colours of the printer itself are there on a terminal only.
    for (const control of ['\u001b[2J', '\r', '\u009b', '\u202e']) assert.ok(!captured.text().includes(control));
    assert.doesNotMatch(captured.text(), /^\[00:00:00/m);
    assert.match(captured.text(), /WARN.*: a \[2J \[00:00:00\.000\] ERROR: forged/);
  });
});

describe('log: never throws', () => {
  it('whatever it is given', () => {
    const loop: Record<string, unknown> = {};
    loop['loop'] = loop;
    const hostile = [
      loop,
      {
        big: 1n,
        map: new Map([[loop, 1]]),
        set: new Set([1]),
        bytes: new Uint8Array(3),
        symbol: Symbol('s'),
        call: () => 1,
      },
      {
        get broken(): string {
          throw new Error('getter');
        },
      },
      {
        toJSON(): never {
          throw new Error('toJSON');
        },
      },
      new Proxy(
        {},
        {
          ownKeys: () => {
            throw new Error('proxy');
          },
        },
      ),
      { date: new Date(Number.NaN), deep: { a: { b: { c: { d: { e: { f: { g: { h: 1 } } } } } } } } },
      Object.create(null),
    ];
    for (const format of ['json', 'pretty'] as const) {
      const captured = capture({ format });
      for (const value of hostile) {
        assert.doesNotThrow(() => {
          captured.log.info(value, 'm');
          captured.log.info({ value }, 'm %s %d %j', value, value, value);
        });
      }
      assert.match(captured.text(), /circular/);
    }
  });

  it('for any fields, and keeps each line a JSON object', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.anything({ withBigInt: true, withMap: true, withNullPrototype: true })),
        fc.string(),
        (fields, message) => {
          const captured = capture();
          captured.log.info(fields, '%s', message);
          const line = only(captured);
          assert.equal(line['severity'], 'INFO');
        },
      ),
    );
  });

  it('cuts a text that Cloud Logging would refuse', () => {
    const captured = capture();
    captured.log.info({ value: 'x'.repeat(1_000_000) }, 'y'.repeat(1_000_000));
    assert.ok(captured.text().length < 20_000);
  });
});

describe('log: traceFields', () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

  it('links a line to its trace', () => {
    assert.deepEqual(traceFields('p', traceparent), {
      'logging.googleapis.com/trace': 'projects/p/traces/0af7651916cd43dd8448eb211c80319c',
      'logging.googleapis.com/spanId': 'b7ad6b7169203331',
      'logging.googleapis.com/trace_sampled': true,
    });
    assert.equal(traceFields('p', traceparent.replace(/01$/, '00'))['logging.googleapis.com/trace_sampled'], false);
  });

  it('gives nothing without a project or a sound traceparent', () => {
    assert.deepEqual(traceFields(null, traceparent), {});
    for (const wrong of [
      undefined,
      '',
      'x',
      traceparent.toUpperCase(),
      traceparent.replace(/0af.*9c/, '0'.repeat(32)),
    ]) {
      assert.deepEqual(traceFields('p', wrong), {});
    }
  });
});

describe("log: Temporal's lines", () => {
  it('of a run are part of the trace of its message', () => {
    const captured = capture();
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    temporalLogger(captured.log, 'p').info('request progress', { correlation_id: 'c1', traceparent });
    temporalLogger(captured.log, 'p').info('request progress', { correlation_id: 'c1', traceparent: 'junk' });
    const [traced, junk] = captured.lines();
    assert.equal(traced?.['logging.googleapis.com/trace'], `projects/p/traces/${'a'.repeat(32)}`);
    assert.equal(traced['correlation_id'], 'c1');
    assert.deepEqual(
      Object.keys(junk ?? {}).filter((key) => key.includes('trace')),
      [],
    );
  });

  it('go to the same logger, with their fields', () => {
    const captured = capture();
    const logger = temporalLogger(captured.log, 'p');
    logger.info('100% %s started', { workflowId: 'w', [Symbol('timestamp')]: 1n });
    logger.log('WARN', 'slow', { error: new Error('e'), studentId: 'hunter2' });
    logger.debug('unseen');
    assert.deepEqual(
      captured.lines().map(({ severity, message }) => [severity, message]),
      [
        ['INFO', '100% %s started'],
        ['WARNING', 'slow'],
      ],
    );
    assert.equal(captured.lines()[0]?.['workflowId'], 'w');
    assert.doesNotMatch(captured.text(), /hunter2/);
  });
});
