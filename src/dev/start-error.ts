/** What ends `npm start` with a sentence instead of a stack trace. */

/** The message says what is wrong and how to mend it. Exit code 2: cannot start; 1: something that was up has ended. */
export class StartError extends Error {
  override readonly name = 'StartError';
  readonly exitCode: 1 | 2;

  constructor(message: string, options: ErrorOptions & { readonly exitCode?: 1 | 2 } = {}) {
    super(message, options);
    this.exitCode = options.exitCode ?? 2;
  }
}

/** What a library or the system said, in one line. A refused connection to `localhost` comes as two errors and no message. */
export function inWords(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return inWords(error.errors[0]);
  const text = error instanceof Error ? error.message : String(error);
  return (text.trim().split('\n')[0] ?? '').replace(/[.:\s]+$/, '');
}

/** No such command. A folder on PATH that may not be entered gives EACCES, and the command is as good as not there. */
export function isNoCommand(error: unknown): boolean {
  return ['ENOENT', 'EACCES', 'ENOTDIR'].includes(codeOf(error) ?? '');
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
