/** The migration stopped for a reason that the message explains in full; a stack trace would add nothing. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';
  readonly code: 'edited' | 'foreign-ledger' | 'holds-rows' | 'lock-lost' | 'locked-out' | 'statement' | 'unknown';

  constructor(code: MigrationError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
