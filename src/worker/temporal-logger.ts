import type { Logger, LogLevel, LogMetadata } from '@temporalio/common';
import { traceFields, type Logger as OurLogger } from '../log.ts';

const LEVEL = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/** What Temporal's Runtime writes its own, the activities' and the workflows' lines to: the one logger. */
export function temporalLogger(log: OurLogger, project: string | null): Logger {
  const write = (level: LogLevel, message: string, meta: LogMetadata = {}): void => {
    // Symbol keys (the SDK's timestamps) are no fields of a line.
    const { traceparent, ...fields } = Object.fromEntries(Object.entries(meta)) as Record<string, unknown>;
    const trace = typeof traceparent === 'string' ? traceFields(project, traceparent) : {};
    log[LEVEL[level]]({ ...fields, ...trace }, '%s', message);
  };
  return {
    log: write,
    trace: (message, meta) => write('TRACE', message, meta),
    debug: (message, meta) => write('DEBUG', message, meta),
    info: (message, meta) => write('INFO', message, meta),
    warn: (message, meta) => write('WARN', message, meta),
    error: (message, meta) => write('ERROR', message, meta),
  };
}
