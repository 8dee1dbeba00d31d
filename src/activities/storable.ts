/**
 * NUL and lone surrogates, wherever they stand in a value, become U+FFFD: PostgreSQL's text and jsonb hold neither, and
 * what a provider said must not be lost, nor its failure, for one character.
 */
export function storable<T>(value: T): T {
  if (typeof value === 'string') return value.toWellFormed().replaceAll('\0', '\u{fffd}') as T;
  if (Array.isArray(value)) return value.map(storable) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, storable(each)])) as T;
}
