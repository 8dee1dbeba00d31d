import { MAX_MESSAGE_BYTES } from '../../../../src/contract/message.ts';
import { BASE, example, ID, invalid, KNOWN, request, SAID, unreadable, type Example } from './example.ts';

const VALID = JSON.stringify(BASE);
const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const joined = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));
const withMember = (member: string): string => VALID.replace(/}$/, `,${member}}`);

/** Padded to a size in bytes by an unknown key; it is dropped, but it counts. */
const padded = (size: number): string => {
  const empty = withMember('"x":""');
  return withMember(`"x":"${'p'.repeat(size - utf8(empty).length)}"`);
};
const nested = (depth: number): string => withMember(`"x":${'['.repeat(depth)}${']'.repeat(depth)}`);

const encodings = [
  example('encoding: no bytes', bytes(), unreadable('not_json')),
  example('encoding: UTF-16 LE', Uint8Array.from(Buffer.from(VALID, 'utf16le')), unreadable('not_json')),
  example(
    'encoding: UTF-16 LE with BOM',
    joined(bytes(0xff, 0xfe), Buffer.from(VALID, 'utf16le')),
    unreadable('not_utf8'),
  ),
  example('encoding: Latin-1', joined(utf8('{"topic":"'), bytes(0xe9), utf8('"}')), unreadable('not_utf8')),
  example('encoding: UTF-8 BOM', joined(bytes(0xef, 0xbb, 0xbf), utf8(VALID)), unreadable('not_utf8')),
  example('encoding: truncated UTF-8', utf8('{"topic":"é').slice(0, -1), unreadable('not_utf8')),
  example('encoding: overlong', joined(utf8('"'), bytes(0xc0, 0xaf), utf8('"')), unreadable('not_utf8')),
  example(
    'encoding: a surrogate in UTF-8',
    joined(utf8('"'), bytes(0xed, 0xa0, 0x80), utf8('"')),
    unreadable('not_utf8'),
  ),
  example(
    'encoding: beyond U+10FFFF',
    joined(utf8('"'), bytes(0xf4, 0x90, 0x80, 0x80), utf8('"')),
    unreadable('not_utf8'),
  ),
  example('encoding: gzip', bytes(0x1f, 0x8b, 0x08, 0x00), unreadable('not_utf8')),
  example('encoding: base64 of JSON', Buffer.from(VALID).toString('base64'), unreadable('not_json')),
];

const json = [
  example('JSON: empty object', '{}', invalid(null, 'correlation_id', 'student_id', 'topic')),
  example('JSON: array', [BASE], unreadable('not_an_object')),
  example('JSON: null', 'null', unreadable('not_an_object')),
  example('JSON: true', 'true', unreadable('not_an_object')),
  example('JSON: number', '0', unreadable('not_an_object')),
  example('JSON: text that holds JSON', JSON.stringify(VALID), unreadable('not_an_object')),
  example('JSON: cut off', VALID.slice(0, -1), unreadable('not_json')),
  example('JSON: two objects', `${VALID}${VALID}`, unreadable('not_json')),
  example('JSON: trailing comma', VALID.replace('}', ',}'), unreadable('not_json')),
  example('JSON: single quotes', VALID.replaceAll('"', "'"), unreadable('not_json')),
  example('JSON: NaN', withMember('"grade_level":NaN'), unreadable('not_json')),
  example('JSON: a raw line feed in a text', withMember('"interest":"\n"'), unreadable('not_json')),
  example('JSON: a BOM within', withMember('\ufeff"interest":"i"'), unreadable('not_json')),
  example('JSON: white space around', ` \n${VALID}\t\r\n`, request(SAID)),
  example('JSON: escaped keys and values', VALID.replace('"topic":"t"', '"\\u0074opic":"\\u0074"'), request(SAID)),
  example(
    'JSON: an escaped pair is one character',
    withMember('"interest":"\\ud83c\\udf93"'),
    request({ ...SAID, interest: '🎓' }),
  ),
  example('JSON: an escaped lone surrogate', withMember('"interest":"\\ud800"'), invalid(KNOWN, 'interest')),
  example('JSON: a swapped pair', withMember('"interest":"\\udf93\\ud83c"'), invalid(KNOWN, 'interest')),
  example('JSON: an escaped NUL', withMember('"interest":"\\u0000"'), invalid(KNOWN, 'interest')),
  example('JSON: of repeated keys the last counts', withMember('"topic":"last"'), request({ ...SAID, topic: 'last' })),
  example('JSON: of repeated keys the last counts, wrong', withMember('"topic":7'), invalid(KNOWN, 'topic')),
  example('JSON: a repeated key with null last is absent', withMember('"topic":null'), invalid(KNOWN, 'topic')),
];

const unknownKeys = [
  example('unknown: NUL and lone surrogates', withMember('"x":"\\u0000\\ud800","y\\u0000":1'), request(SAID)),
  example('unknown: server-owned columns', { ...BASE, status: 'completed', retry_count: 9, id: 'x' }, request(SAID)),
  example('unknown: other letter case', { ...BASE, Grade_Level: 9, INTEREST: 'i' }, request(SAID)),
  example('unknown: __proto__ lends no field', withMember('"__proto__":{"interest":"i","topic":"u"}'), request(SAID)),
  example(
    'unknown: __proto__ alone lends no identity',
    `{"__proto__":${VALID}}`,
    invalid(null, 'correlation_id', 'student_id', 'topic'),
  ),
  example('unknown: __proto__ null', withMember('"__proto__":null'), request(SAID)),
  example(
    'unknown: constructor and prototype',
    withMember('"constructor":{"prototype":{"interest":"i"}}'),
    request(SAID),
  ),
  example(
    'unknown: hasOwnProperty, toString, then, toJSON',
    { ...BASE, hasOwnProperty: 1, toString: 1, then: 1, toJSON: 1 },
    request(SAID),
  ),
  example('unknown: empty key', { ...BASE, '': 1 }, request(SAID)),
  example('unknown: 100,000 levels deep', nested(100_000), request(SAID)),
  example(
    'known: 100,000 levels deep',
    withMember(`"interest":${'['.repeat(100_000)}${']'.repeat(100_000)}`),
    invalid(KNOWN, 'interest'),
  ),
  example(
    'known: 200,000 wrong items are one fault',
    { ...BASE, requested_modalities: Array.from({ length: 200_000 }, () => 0) },
    invalid(KNOWN, 'requested_modalities'),
  ),
];

const sizes = [
  example('size: 512 KiB', padded(MAX_MESSAGE_BYTES), request(SAID)),
  example(
    'size: 512 KiB and one byte, identity still read',
    padded(MAX_MESSAGE_BYTES + 1),
    unreadable('too_large', KNOWN),
  ),
  example(
    'size: too large, known by correlation_id',
    { correlation_id: 'c', topic: 't'.repeat(600_000) },
    unreadable('too_large', { correlationId: 'c' }),
  ),
  example(
    'size: too large, request_id wrong',
    { request_id: 'x', correlation_id: 'c', topic: 't'.repeat(600_000) },
    unreadable('too_large'),
  ),
  example('size: too large, not JSON', `{"request_id":"${ID}","x":"${'p'.repeat(600_000)}`, unreadable('too_large')),
  example('size: too large, not UTF-8', new Uint8Array(600_000).fill(0xff), unreadable('too_large')),
  example('size: 10 MB of brackets are not read', nested(4_900_000), unreadable('too_large')),
  example(
    'size: bytes count, not characters',
    withMember(`"x":"${'🎓'.repeat(131_072)}"`),
    unreadable('too_large', KNOWN),
  ),
];

export const BODIES: readonly Example[] = [...encodings, ...json, ...unknownKeys, ...sizes];
