import { v5 } from 'uuid';

/**
 * The namespace of rows that a message without a request_id makes. Drawn once at random and ours alone, so that no
 * other system's UUIDv5 of the same correlation_id meets ours. Changing it would give every redelivery a second row.
 */
export const CORRELATION_NAMESPACE = '5c0c2d1e-8f0b-4c7a-9f43-6b1d7a2e90d4';

/** The row of a request that is known by its correlation_id only. */
export function rowIdOf(correlationId: string): string {
  return v5(correlationId, CORRELATION_NAMESPACE);
}

/** A hyphen may follow any group of four digits but the last; whoever opens a brace closes it. */
const POSTGRES_UUID = /^(?:(?:[0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}|\{(?:[0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}\})$/;

/**
 * Accepts what PostgreSQL's uuid_in accepts, no more (urn:uuid: and surrounding space are errors there too), and
 * no less: the API may have written the row under another notation of the same id. Version and variant are free.
 */
export function canonicalUuid(text: string): string | null {
  if (!POSTGRES_UUID.test(text)) return null;
  const digits = text.replace(/[{}-]/g, '').toLowerCase();
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)].join(
    '-',
  );
}
