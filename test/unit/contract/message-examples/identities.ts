import { BASE, example, ID, invalid, KNOWN, request, SAID, type Example } from './example.ts';

const WITHOUT_REQUEST_ID = { correlation_id: 'c', student_id: 's', topic: 't' };
const ROW_OF_C = 'a252a9ce-56f1-5f84-9e61-7eb697bd36b0';

const notation = (name: string, request_id: string): Example =>
  example(`UUID accepted: ${name}`, { ...BASE, request_id }, request(SAID));
const noUuid = (name: string, request_id: unknown): Example =>
  example(`UUID refused: ${name}`, { ...BASE, request_id }, invalid(null, 'request_id'));

export const IDENTITIES: readonly Example[] = [
  notation('lower case, hyphens', ID),
  notation('upper case', ID.toUpperCase()),
  notation('mixed case', '3FA4d8d8-355A-4a88-8139-a97F03358ec0'),
  notation('no hyphens', '3fa4d8d8355a4a888139a97f03358ec0'),
  notation('braces', `{${ID}}`),
  notation('braces, no hyphens, upper case', '{3FA4D8D8355A4A888139A97F03358EC0}'),
  notation('a hyphen after every group of four', '3fa4-d8d8-355a-4a88-8139-a97f-0335-8ec0'),
  notation('a hyphen after some groups', '3fa4d8d8355a-4a888139-a97f03358ec0'),
  example(
    'UUID accepted: nil',
    { ...BASE, request_id: '00000000-0000-0000-0000-000000000000' },
    request({ ...SAID, rowId: '00000000-0000-0000-0000-000000000000' }),
  ),
  example(
    'UUID accepted: all ones, of no version',
    { ...BASE, request_id: 'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF' },
    request({ ...SAID, rowId: 'ffffffff-ffff-ffff-ffff-ffffffffffff' }),
  ),
  noUuid('urn:uuid:', `urn:uuid:${ID}`),
  noUuid('opening brace alone', `{${ID}`),
  noUuid('closing brace alone', `${ID}}`),
  noUuid('space before', ` ${ID}`),
  noUuid('line feed after', `${ID}\n`),
  noUuid('a hyphen within a group', '3f-a4d8d8-355a-4a88-8139-a97f03358ec0'),
  noUuid('two hyphens together', '3fa4d8d8--355a-4a88-8139-a97f03358ec0'),
  noUuid('a hyphen at the end', `${ID}-`),
  noUuid('a hyphen at the start', `-${ID}`),
  noUuid('31 digits', ID.slice(1)),
  noUuid('33 digits', `${ID}0`),
  noUuid('a letter beyond f', `g${ID.slice(1)}`),
  noUuid('full-width digits', `３${ID.slice(1)}`),
  noUuid('NUL after', `${ID}\0`),
  noUuid('empty text', ''),
  noUuid('a number', 42),
  noUuid('zero', 0),
  noUuid('false', false),
  noUuid('an array', [ID]),
  noUuid('an object', { id: ID }),
  example(
    'request_id null is absent: the row of the correlation_id',
    { ...BASE, request_id: null },
    request({ ...SAID, rowId: ROW_OF_C }),
  ),
  example(
    'request_id absent: the row of the correlation_id',
    WITHOUT_REQUEST_ID,
    request({ ...SAID, rowId: ROW_OF_C }),
  ),
  example(
    'correlation_id null: it becomes the canonical request_id',
    { ...BASE, request_id: ID.toUpperCase(), correlation_id: null },
    request({ ...SAID, correlationId: ID }),
  ),
  example(
    'a correlation_id beyond ASCII',
    { ...WITHOUT_REQUEST_ID, correlation_id: 'é🎓' },
    request({ ...SAID, rowId: 'c82dcd93-32e4-5c08-a7eb-d83e31be4a32', correlationId: 'é🎓' }),
  ),
  example('both identities null', { ...BASE, request_id: null, correlation_id: null }, invalid(null, 'correlation_id')),
  example(
    'both identities wrong',
    { ...BASE, request_id: 'x', correlation_id: '' },
    {
      ...invalid(null, 'request_id', 'correlation_id'),
    },
  ),
  example('request_id good, correlation_id wrong', { ...BASE, correlation_id: 7 }, invalid(KNOWN, 'correlation_id')),
  example(
    'request_id absent, correlation_id wrong',
    { ...WITHOUT_REQUEST_ID, correlation_id: '' },
    invalid(null, 'correlation_id'),
  ),
  example(
    'request_id absent, correlation_id good, another fault',
    { ...WITHOUT_REQUEST_ID, student_id: null },
    invalid({ correlationId: 'c' }, 'student_id'),
  ),
  example(
    'request_id null, correlation_id good, another fault',
    { ...BASE, request_id: null, grade_level: 13 },
    invalid({ correlationId: 'c' }, 'grade_level'),
  ),
  example(
    'request_id in another notation, another fault',
    { ...BASE, request_id: `{${ID.toUpperCase()}}`, topic: '' },
    invalid(KNOWN, 'topic'),
  ),
];
