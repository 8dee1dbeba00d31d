/** One logger: JSON lines as Cloud Logging reads them, or readable lines on a terminal. It never throws. */
import {
  pino,
  stdTimeFunctions,
  type Bindings,
  type ChildLoggerOptions,
  type DestinationStream,
  type Logger,
} from 'pino';
import { isColorSupported, prettyFactory } from 'pino-pretty';
import type { LogConfig } from './config.ts';

/** https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#LogSeverity */
const SEVERITY: Readonly<Record<string, string>> = {
  trace: 'DEBUG',
  debug: 'DEBUG',
  info: 'INFO',
  warn: 'WARNING',
  error: 'ERROR',
  fatal: 'CRITICAL',
};
/** pino's number of the level error. */
const ERROR_LEVEL = 50;
/** A Cloud Logging entry holds 256 KiB; a longer one is refused whole. */
const MAX_TEXT = 8_192;
const MAX_ITEMS = 100;
const MAX_DEPTH = 6;
/** What is left of 256 KiB for what Cloud Logging adds to an entry. */
const MAX_LINE_BYTES = 200_000;

/** Secrets, and what students wrote. Compared without case, `-` and `_`, so that studentId is caught too. */
const REDACTED = new Set([
  'secret',
  'secretkey',
  'password',
  'token',
  'accesstoken',
  'apikey',
  'authorization',
  'databaseurl',
  'connectionstring',
  'studentid',
  'studentquery',
  'topic',
  'learningobjective',
  'body',
]);
/** Written by the logger itself: a second key of that name would win over the first in most JSON readers. */
const RESERVED = new Set(['level', 'severity', 'time', 'message', 'stack_trace']);

export type { Logger };

export function createLogger(
  config: LogConfig,
  bindings: Record<string, unknown> = {},
  destination: DestinationStream = stdout(),
): Logger {
  const json = config.format === 'json';
  const verbose = config.level === 'debug' || config.level === 'trace';
  const fields = (object: Record<string, unknown>): Record<string, unknown> => cleanFields(object, !json);
  const logger = pino(
    {
      level: config.level,
      messageKey: 'message',
      timestamp: stdTimeFunctions.isoTime,
      base: fields(bindings),
      // Errors are already plain when pino's own serializer would see them.
      serializers: { err: (value: unknown) => value },
      formatters: {
        // The pretty printer knows pino's numbers only.
        level: (label, number) => (json ? { severity: SEVERITY[label] ?? 'DEFAULT' } : { level: number }),
        log: fields,
      },
      // Error Reporting groups by stack_trace; below error a stack is noise, save where somebody looks for it.
      mixin: (object, level) => {
        const error = errorOf(object);
        return error !== undefined && (verbose || level >= ERROR_LEVEL) ? { [STACK]: error } : {};
      },
      hooks: {
        logMethod(args, method) {
          try {
            method.apply(this, cleanArguments(args, !json));
          } catch {
            // A hostile toString or Proxy. The line is lost, the process is not.
          }
        },
      },
    },
    json ? jsonStream(destination) : prettyStream(destination),
  );
  return cleaningChildren(logger, fields);
}

/**
 * pino does not hand a child's bindings to formatters: without this a child could carry a secret into every line.
 * Children inherit it, since pino makes each with its parent as prototype.
 */
function cleaningChildren(logger: Logger, fields: (object: Bindings) => Bindings): Logger {
  // Unbound on purpose: `this` is whichever logger is asked. pino types it for custom levels; Reflect does not ask.
  const child = Reflect.get(logger, 'child') as (...args: unknown[]) => unknown;
  logger.child = function <Custom extends string = never>(
    this: Logger,
    bindings: Bindings,
    options?: ChildLoggerOptions<Custom>,
  ) {
    return Reflect.apply(child, this, [fields(bindings), options]) as Logger<Custom>;
  };
  return logger;
}

/** The message and what is formatted into it get what fields get; else an error's text would pass uncleaned. */
function cleanArguments<T extends readonly unknown[]>(args: T, terminal: boolean): T {
  const [first, ...rest] = args as readonly unknown[];
  const cleaned = rest.map((value) => clean('', value, terminal, []));
  if (typeof first !== 'object' || first === null) return [clean('', first, terminal, []), ...cleaned] as unknown as T;
  // pino would take the message from the error as it is.
  if (rest.length === 0) {
    const error = errorOf(first);
    if (error !== undefined) cleaned.push('%s', cleanText(error.message, terminal));
  }
  return [first instanceof Error ? { err: first } : first, ...cleaned] as unknown as T;
}

/** The trace that Cloud Logging links a line to, from a W3C traceparent; nothing for one that is not sound. */
export function traceFields(project: string | null, traceparent: string | undefined): Record<string, string | boolean> {
  const match = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/.exec(traceparent ?? '');
  const [, trace, span, flags] = match ?? [];
  if (project === null || trace === undefined || span === undefined || flags === undefined) return {};
  if (/^0+$/.test(trace) || /^0+$/.test(span)) return {};
  return {
    'logging.googleapis.com/trace': `projects/${project}/traces/${trace}`,
    'logging.googleapis.com/spanId': span,
    'logging.googleapis.com/trace_sampled': (Number.parseInt(flags, 16) & 1) === 1,
  };
}

/** Symbols are not own enumerable string keys, so no caller's field can stand in for it. */
const STACK = Symbol('stack');

function stdout(): DestinationStream {
  // Synchronous: the last lines before an exit are the ones that explain it.
  const stream = pino.destination({ dest: 1, sync: true });
  // A full disk or a closed pipe must not end the process.
  stream.on('error', () => undefined);
  return stream;
}

/** A line that would be refused whole keeps what it is found by. */
function jsonStream(destination: DestinationStream): DestinationStream {
  return {
    write(line: string): void {
      destination.write(inert(withinLimit(line)));
    },
  };
}

/**
 * JSON may hold line separators, C1 controls and bidirectional overrides as they are, and whoever prints the line would
 * obey them: escaped, they mean the same to a parser.
 */
export function inert(json: string): string {
  return json.replace(OBEYED, escaped);
}

const OBEYED = /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g;

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function withinLimit(line: string): string {
  // No character has more than three bytes for each of its UTF-16 units.
  if (line.length * 3 <= MAX_LINE_BYTES) return line;
  const bytes = Buffer.byteLength(line);
  if (bytes <= MAX_LINE_BYTES) return line;
  const { severity, time, correlation_id, message } = JSON.parse(line) as Record<string, unknown>;
  return `${JSON.stringify({ severity, time, correlation_id, message, cut: `${String(bytes)} bytes` })}\n`;
}

function prettyStream(destination: DestinationStream): DestinationStream {
  const format = prettyFactory({
    colorize: isColorSupported && process.stdout.isTTY,
    messageKey: 'message',
    timestampKey: 'time',
    translateTime: 'SYS:HH:MM:ss.l',
    // Its line breaks are real: the frames were taken apart and cleaned.
    customPrettifiers: { stack_trace: (value) => (typeof value === 'string' ? value : '') },
  });
  return {
    write(line: string): void {
      destination.write(format(line));
    },
  };
}

function errorOf(object: object): Error | undefined {
  if (object instanceof Error) return object;
  const { err, error } = object as { err?: unknown; error?: unknown };
  if (err instanceof Error) return err;
  return error instanceof Error ? error : undefined;
}

/** Plain JSON of what was passed, without secrets, cycles or surprises. */
function cleanFields(object: Record<string | symbol, unknown>, terminal: boolean): Record<string, unknown> {
  const cleaned: Record<string, unknown> = {};
  const error = object[STACK];
  for (const [key, value] of entries(object)) {
    if (value === undefined) continue;
    const name = RESERVED.has(key) ? `${key}_` : key === 'correlationId' ? 'correlation_id' : key;
    cleaned[terminal ? withoutControls(name) : name] = clean(key, value, terminal, [object]);
  }
  if (error instanceof Error) cleaned['stack_trace'] = stackOf(error, terminal);
  return cleaned;
}

function clean(key: string, value: unknown, terminal: boolean, above: readonly object[]): unknown {
  if (value === null || value === undefined || typeof value === 'boolean' || typeof value === 'number') {
    return isRedacted(key) && value !== null && value !== undefined ? '[redacted]' : value;
  }
  if (isRedacted(key)) return '[redacted]';
  if (typeof value === 'string') return cleanText(value, terminal);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'symbol' || typeof value === 'function') return `[${typeof value}]`;
  if (above.includes(value)) return '[circular]';
  if (above.length > MAX_DEPTH) return '[too deep]';
  const within = [...above, value];
  try {
    if (value instanceof Error) return cleanError(value, terminal, within);
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
    if (ArrayBuffer.isView(value)) return `[${String(value.byteLength)} bytes]`;
    const iterable: object =
      value instanceof Map ? mapEntries(value) : value instanceof Set ? Array.from<unknown>(value) : value;
    if (Array.isArray(iterable)) return iterable.slice(0, MAX_ITEMS).map((item) => clean('', item, terminal, within));
    const plain: Record<string, unknown> = {};
    for (const [name, inner] of entries(iterable).slice(0, MAX_ITEMS)) {
      plain[terminal ? withoutControls(name) : name] = clean(name, inner, terminal, within);
    }
    return plain;
  } catch {
    return '[unreadable]';
  }
}

function mapEntries(map: ReadonlyMap<unknown, unknown>): object {
  return Object.fromEntries([...map].map(([key, value]) => [typeof key === 'string' ? key : typeof key, value]));
}

/** As Object.entries; a getter that throws costs its own field only. */
function entries(object: object): [string, unknown][] {
  return Object.keys(object).map((key) => {
    try {
      return [key, (object as Record<string, unknown>)[key]];
    } catch {
      return [key, '[unreadable]'];
    }
  });
}

/** Own fields are left out: a database error's `detail` quotes the row, and a gRPC error its metadata. */
function cleanError(error: Error, terminal: boolean, within: readonly object[]): Record<string, unknown> {
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  return {
    type: cleanText(error.name, terminal),
    message: cleanText(error.message, terminal),
    ...(typeof code === 'string' || typeof code === 'number' ? { code: clean('', code, terminal, within) } : {}),
    ...(cause === undefined ? {} : { cause: clean('', cause, terminal, within) }),
  };
}

/** The head is rebuilt, since a message with line breaks in it would forge frames. */
function stackOf(error: Error, terminal: boolean): string {
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return [cleanText(`${error.name}: ${error.message}`, terminal), ...frames].join('\n').slice(0, MAX_TEXT);
}

function cleanText(text: string, terminal: boolean): string {
  const cut = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT).toWellFormed()}…` : text;
  const unsigned = cut.replace(/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@]*@/gi, '$1[redacted]@');
  return terminal ? withoutControls(unsigned) : unsigned;
}

/** Control characters move cursors and forge lines; bidirectional overrides reorder what is read. */
function withoutControls(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]+/gu, ' ');
}

/** For what a process prints to a person by itself: one line, and nothing that moves a cursor. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ');
}

function isRedacted(key: string): boolean {
  return REDACTED.has(key.toLowerCase().replace(/[-_]/g, ''));
}
