/** What comes from outside stays inside its field: it ends no line, begins none, and moves no cursor. */
import assert from 'node:assert/strict';
import { foresee } from '../../src/bridge/dry-run.ts';
import { classifyPubsub, classifyTemporal } from '../../src/bridge/grpc.ts';
import type { LogConfig } from '../../src/config.ts';
import { parse } from '../../src/contract/message.ts';
import { HttpStatusError, type Generator } from '../../src/generators/generator.ts';
import { createLogger, printable, traceFields, type Logger } from '../../src/log.ts';
import { ProviderState } from '../../src/worker/provider-state.ts';
import { temporalLogger } from '../../src/worker/temporal-logger.ts';
import { FakeTemporal } from '../support/fake-temporal.ts';

const FORGED = '{"severity":"CRITICAL","message":"forged"}';
const HOSTILE: Readonly<Record<string, string>> = {
  'a newline': `x\n${FORGED}`,
  'a carriage return': `x\r${FORGED}`,
  both: `x\r\n[00:00:00.000] ERROR: forged`,
  'U+2028': `x\u2028${FORGED}`,
  'U+2029': `x\u2029${FORGED}`,
  'U+0085': `x\u0085${FORGED}`,
  'ANSI escapes': `x\u001b[2J\u001b[1;1Hforged\u001b]0;title\u0007`,
  'a C1 escape': `x\u009b2Jforged`,
  NUL: `x\u0000${FORGED}`,
  'a bidirectional override': 'x\u202edegrof',
  'the end of a field': 'x","severity":"CRITICAL","message":"forged',
  'a backslash': 'x\\","severity":"CRITICAL',
  'half a surrogate pair': 'x\ud800","severity":"CRITICAL',
};
/** Whoever shows the line obeys these. */
const OBEYED = /(?!\n)[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

type Format = LogConfig['format'];

function capture(format: Format): { readonly log: Logger; readonly text: () => string } {
  const written: string[] = [];
  const log = createLogger(
    { level: 'trace', format, project: 'p' },
    {},
    { write: (line: string) => void written.push(line) },
  );
  return { log, text: () => written.join('') };
}

/** One record, whose own severity stands, and nothing that is obeyed. */
function expectOne(format: Format, text: string, severity: string): void {
  assert.doesNotMatch(text, OBEYED);
  const lines = text.split('\n').filter((line) => line !== '');
  if (format === 'pretty') {
    const heads = lines.filter((line) => /^\[\d\d:\d\d:\d\d/.test(line));
    assert.equal(heads.length, 1, text);
    for (const line of lines.slice(1)) assert.match(line, /^ {4}/, 'what follows is indented');
    return;
  }
  assert.equal(lines.length, 1, text);
  assert.equal((JSON.parse(lines[0] ?? '') as { severity: string }).severity, severity);
  assert.equal(text.match(/(?<!\\)"severity":/g)?.length, 1, text);
}

const failing = (error: Error): Generator => ({
  name: 'fake',
  generate: () => Promise.reject(error),
  check: () => Promise.reject(error),
});

/** Where something from outside gets into a line, as the product writes it. */
const PLACES: readonly {
  readonly place: string;
  readonly severity: string;
  readonly write: (log: Logger, nasty: string) => void | Promise<void>;
}[] = [
  {
    place: 'ids of a message, in the logger of its delivery',
    severity: 'INFO',
    write: (log, nasty) => {
      log
        .child({ messageId: nasty, correlation_id: nasty, rowId: nasty, ...traceFields('p', nasty) })
        .info({ runId: nasty }, 'run started');
    },
  },
  {
    place: 'names and values of attributes',
    severity: 'WARNING',
    write: (log, nasty) => log.warn({ attributes: { [nasty]: nasty }, [nasty]: nasty }, 'm'),
  },
  {
    place: "a provider's statement",
    severity: 'ERROR',
    write: (log, nasty) => new ProviderState(failing(new HttpStatusError(401, nasty, null)), log).look(),
  },
  {
    place: "a provider's error as it was thrown, with its causes",
    severity: 'ERROR',
    write: (log, nasty) => {
      const error = Object.assign(new Error(nasty, { cause: new Error(nasty) }), { code: nasty, name: nasty });
      log.error({ err: error }, 'failed');
    },
  },
  {
    place: "Temporal's lines and fields",
    severity: 'WARNING',
    write: (log, nasty) => {
      temporalLogger(log, 'p').warn(nasty, { workflowId: nasty, error: new Error(nasty), traceparent: nasty });
    },
  },
  {
    place: 'what a call of Temporal or Pub/Sub has failed with',
    severity: 'ERROR',
    write: (log, nasty) => {
      const error = Object.assign(new Error(nasty, { cause: new Error(nasty) }), { code: 14 });
      log.error({ temporal: classifyTemporal(error, nasty), pubsub: classifyPubsub(error, nasty) }, 'bridge ended');
    },
  },
  {
    place: 'the message, and what is formatted into it',
    severity: 'INFO',
    write: (log, nasty) => log.info(`${nasty} %s`, nasty),
  },
];

describe('log lines cannot be forged', () => {
  for (const format of ['json', 'pretty'] as const) {
    for (const { place, severity, write } of PLACES) {
      it(`${format}: by ${place}`, async () => {
        for (const [what, nasty] of Object.entries(HOSTILE)) {
          const { log, text } = capture(format);
          await write(log, nasty);
          try {
            expectOne(format, text(), severity);
          } catch (error) {
            throw new Error(`${what}: ${JSON.stringify(text())}`, { cause: error });
          }
        }
      });
    }
  }

  it('json: what was written is what a parser reads', () => {
    for (const nasty of Object.values(HOSTILE)) {
      const { log, text } = capture('json');
      log.info({ value: nasty }, 'm');
      assert.equal((JSON.parse(text()) as { value: string }).value, nasty);
    }
  });

  it('the twin: a logger that writes what it is given is found out', () => {
    const naive = (nasty: string): string => `{"severity":"INFO","message":"${nasty}"}\n`;
    for (const [what, nasty] of Object.entries(HOSTILE)) {
      if (what === 'half a surrogate pair' || what === 'a backslash') continue;
      assert.throws(() => expectOne('json', naive(nasty), 'INFO'), what);
    }
    for (const nasty of [HOSTILE['a newline'] ?? '', HOSTILE['both'] ?? '', HOSTILE['ANSI escapes'] ?? '']) {
      assert.throws(() => expectOne('pretty', `[00:00:00.000] INFO: ${nasty}\n`, 'INFO'));
    }
  });

  it('what is printed to a person is one line as well: --dry-run, preflight and --check', async () => {
    for (const nasty of Object.values(HOSTILE)) {
      const { log } = capture('json');
      const error = new Error(nasty, { cause: new Error(nasty) });
      const { error: told } = classifyTemporal(error, 'n') as { error: string };
      assert.doesNotMatch(told, OBEYED);
      assert.doesNotMatch(told, /\n/);
      const data = Buffer.from(JSON.stringify({ correlation_id: nasty.slice(0, 60), student_id: 's', topic: 't' }));
      const delivery = {
        ackId: 'a',
        messageId: '1',
        publishTime: '',
        orderingKey: null,
        attributes: {},
        data,
        deliveryAttempt: 1,
      };
      const verdict = await foresee(delivery, new FakeTemporal());
      assert.ok('line' in verdict, 'a line');
      assert.doesNotMatch(printable(verdict.line), OBEYED);
      assert.doesNotMatch(printable(verdict.line), /\n/);
      assert.ok(log, 'used');
    }
  });

  it('a rejection names fields and rules, and no value', () => {
    for (const nasty of Object.values(HOSTILE)) {
      const parsed = parse(
        Buffer.from(JSON.stringify({ request_id: nasty, grade_level: nasty.repeat(9), [nasty]: 1 })),
        {},
      );
      assert.ok(parsed.kind === 'rejection', 'invalid');
      assert.doesNotMatch(parsed.detail, OBEYED);
      assert.doesNotMatch(parsed.detail, /forged|\n/);
    }
  });

  it('a line that Cloud Logging would refuse whole keeps what it is found by', () => {
    const { log, text } = capture('json');
    const value = Object.fromEntries(
      Array.from({ length: 90 }, (_, index) => [`k${String(index)}`, 'ü'.repeat(8_000)]),
    );
    log.warn({ correlation_id: 'c', value }, 'm');
    assert.ok(Buffer.byteLength(text()) < 1_000, String(text().length));
    const { severity, correlation_id, message, cut } = JSON.parse(text()) as Record<string, unknown>;
    assert.deepEqual([severity, correlation_id, message], ['WARNING', 'c', 'm']);
    assert.match(String(cut), /^1\d{6} bytes$/);
    const twin = capture('json');
    twin.log.warn({ value: { a: 'ü'.repeat(8_000) } }, 'm');
    assert.doesNotMatch(twin.text(), /"cut"/);
  });
});
