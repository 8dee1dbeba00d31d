import type { Logger, LogLevel, LogMetadata } from '@temporalio/common';
import type { Logger as OurLogger } from '../log.ts';

const LEVEL = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/** What Temporal's Runtime writes its own, the activities' and the workflows' lines to: the one logger. */
export function temporalLogger(log: OurLogger): Logger {
  const write = (level: LogLevel, message: string, meta: LogMetadata = {}): void => {
    // Symbol keys (the SDK's timestamps) are no fields of a line.
    log[LEVEL[level]](Object.fromEntries(Object.entries(meta)), '%s', message);
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
