import { BASE, example, invalid, KNOWN, request, SAID, type Example } from './example.ts';
import type { ContentRequest } from '../../../../src/contract/request.ts';

/** One code point each, but 1, 2 and 1 UTF-16 units. */
const CHARACTERS = { ASCII: 'a', emoji: '🎓', 'combining marks': '\u0301' } as const;

type TextField = readonly [field: string, key: keyof ContentRequest, max: number];
const TEXTS: readonly TextField[] = [
  ['correlation_id', 'correlationId', 64],
  ['student_id', 'studentId', 100],
  ['topic', 'topic', 500],
  ['student_query', 'topic', 500],
  ['grade_level', 'gradeLevel', 50],
  ['learning_objective', 'learningObjective', 10_000],
  ['organization_id', 'organizationId', 100],
  ['interest', 'interest', 100],
  ['environment', 'environment', 50],
];

/** A letter first: combining marks alone would be a text too, but not one that a person can send. */
const fill = (character: string, length: number): string => `x${character.repeat(length - 1)}`;

const limits = TEXTS.flatMap(([field, key, max]) =>
  Object.entries(CHARACTERS).flatMap(([name, character]) => [
    example(
      `${field}: ${max} characters, ${name}`,
      { ...BASE, [field]: fill(character, max) },
      request({ ...SAID, [key]: fill(character, max) }),
    ),
    example(
      `${field}: ${max + 1} characters, ${name}`,
      { ...BASE, [field]: fill(character, max + 1) },
      invalid(KNOWN, field),
    ),
  ]),
);

const wrongTypes = TEXTS.flatMap(([field]) => [
  ...(field === 'interest' ? [] : [example(`${field}: empty text`, { ...BASE, [field]: '' }, invalid(KNOWN, field))]),
  ...(field === 'grade_level' ? [] : [example(`${field}: a number`, { ...BASE, [field]: 1 }, invalid(KNOWN, field))]),
  example(`${field}: zero`, { ...BASE, [field]: 0 }, invalid(KNOWN, field)),
  example(`${field}: true`, { ...BASE, [field]: true }, invalid(KNOWN, field)),
  example(`${field}: an array`, { ...BASE, [field]: [] }, invalid(KNOWN, field)),
  example(`${field}: an object`, { ...BASE, [field]: { a: 1 } }, invalid(KNOWN, field)),
  example(`${field}: NUL`, { ...BASE, [field]: 'a\0b' }, invalid(KNOWN, field)),
  example(`${field}: a lone high surrogate`, { ...BASE, [field]: 'a\ud800' }, invalid(KNOWN, field)),
  example(`${field}: a lone low surrogate`, { ...BASE, [field]: '\udc00a' }, invalid(KNOWN, field)),
]);

const optional = [
  'grade_level',
  'learning_objective',
  'duration_minutes',
  'organization_id',
  'interest',
  'environment',
];
const absent = [...optional, 'requested_modalities', 'preferred_modality', 'student_query'].map((field) =>
  example(`${field}: null is absent`, { ...BASE, [field]: null }, request(SAID)),
);

const blank = (name: string, text: string): Example =>
  example(`topic blank: ${name}`, { ...BASE, topic: text }, invalid(KNOWN, 'topic'));

const texts = [
  blank('space', ' '),
  blank('tab and line feed', '\t\r\n'),
  blank('no-break and ideographic space', '\u00a0\u3000'),
  blank('zero-width space, joiner, BOM', '\u200b\u200d\ufeff'),
  blank('control characters', '\u0001\u007f\u0085'),
  blank('bidi marks and soft hyphen', '\u200e\u202e\u00ad'),
  blank('tag characters', '\u{e0020}\u{e007f}'),
  example('student_query blank beside a topic', { ...BASE, student_query: '  ' }, invalid(KNOWN, 'student_query')),
  example('topic as sent, spaces around it', { ...BASE, topic: ' t ' }, request({ ...SAID, topic: ' t ' })),
  example('topic not normalised', { ...BASE, topic: 'e\u0301' }, request({ ...SAID, topic: 'e\u0301' })),
  example('topic of one combining mark', { ...BASE, topic: '\u0301' }, request({ ...SAID, topic: '\u0301' })),
  example(
    'topic of an emoji with a joiner',
    { ...BASE, topic: '👩\u200d🚀' },
    request({ ...SAID, topic: '👩\u200d🚀' }),
  ),
  example('student_query wins', { ...BASE, student_query: 'q' }, request({ ...SAID, topic: 'q' })),
  example(
    'topic null beside student_query',
    { ...BASE, topic: null, student_query: 'q' },
    request({ ...SAID, topic: 'q' }),
  ),
  example('topic wrong beside student_query', { ...BASE, topic: 5, student_query: 'q' }, invalid(KNOWN, 'topic')),
  example('neither topic nor student_query', { ...BASE, topic: null }, invalid(KNOWN, 'topic')),
  example('student_id null', { ...BASE, student_id: null }, invalid(KNOWN, 'student_id')),
  example('student_id of a space is as sent', { ...BASE, student_id: ' ' }, request({ ...SAID, studentId: ' ' })),
  example('interest empty is none', { ...BASE, interest: '' }, request(SAID)),
  example('environment is recorded', { ...BASE, environment: 'prod' }, request({ ...SAID, environment: 'prod' })),
];

/** The JSON text of the number counts, so these bodies are written by hand. */
const number = (field: string, literal: string): string =>
  JSON.stringify(BASE).replace(/}$/, `,"${field}":${literal}}`);
const grade = (literal: string, gradeLevel: string): Example =>
  example(`grade ${literal}`, number('grade_level', literal), request({ ...SAID, gradeLevel }));
const noGrade = (literal: string): Example =>
  example(`grade ${literal} refused`, number('grade_level', literal), invalid(KNOWN, 'grade_level'));
const duration = (literal: string, durationMinutes: number): Example =>
  example(`duration ${literal}`, number('duration_minutes', literal), request({ ...SAID, durationMinutes }));
const noDuration = (literal: string): Example =>
  example(`duration ${literal} refused`, number('duration_minutes', literal), invalid(KNOWN, 'duration_minutes'));

const numbers = [
  grade('1', '1'),
  grade('12', '12'),
  grade('1.0', '1'),
  grade('0.9e1', '9'),
  grade('"9"', '9'),
  grade('"9th Grade"', '9th Grade'),
  grade('" 13 "', ' 13 '),
  ...['0', '-0', '-1', '13', '9.5', '1e999', '1e-9', 'true', '[9]'].map(noGrade),
  duration('1', 1),
  duration('3.0', 3),
  duration('1e3', 1000),
  duration('2147483647', 2_147_483_647),
  ...['0', '-1', '2147483648', '2.5', '1e10', '-1e999', '"3"', '""', 'false', '[]', '{}'].map(noDuration),
];

const modalities = (name: string, sent: unknown, requestedModalities: ContentRequest['requestedModalities']): Example =>
  example(`modalities: ${name}`, { ...BASE, requested_modalities: sent }, request({ ...SAID, requestedModalities }));
const noModalities = (name: string, sent: unknown): Example =>
  example(
    `modalities refused: ${name}`,
    { ...BASE, requested_modalities: sent },
    invalid(KNOWN, 'requested_modalities'),
  );

const modes = [
  modalities('all four', ['text', 'audio', 'video', 'images'], ['text', 'audio', 'video', 'images']),
  modalities('upper case', ['TEXT', 'Images'], ['text', 'images']),
  modalities('five, one twice', ['text', 'audio', 'video', 'images', 'Text'], ['text', 'audio', 'video', 'images']),
  modalities(
    'a hundred times the same',
    Array.from({ length: 100 }, () => 'audio'),
    ['audio'],
  ),
  noModalities('none', []),
  noModalities('an unknown one beside a known', ['video', 'text_only']),
  noModalities('a space after', ['video ']),
  noModalities('a null item', ['video', null]),
  noModalities('a number', ['video', 1]),
  noModalities('nested', [['video']]),
  noModalities('a text', 'video'),
  noModalities('an object', { 0: 'video', length: 1 }),
  noModalities('zero', 0),
  example(
    'preferred modality in upper case, not among the requested',
    { ...BASE, requested_modalities: ['text'], preferred_modality: 'AUDIO' },
    request({ ...SAID, requestedModalities: ['text'], preferredModality: 'audio' }),
  ),
  ...['', 'text_and_video', 1, false, ['video'], {}].map((preferred_modality) =>
    example(
      `preferred modality refused: ${JSON.stringify(preferred_modality)}`,
      { ...BASE, preferred_modality },
      invalid(KNOWN, 'preferred_modality'),
    ),
  ),
];

const everything = example(
  'every field wrong is named, all at once',
  {
    request_id: 'x',
    correlation_id: 1,
    student_id: 1,
    student_query: 1,
    topic: 1,
    grade_level: true,
    learning_objective: 1,
    duration_minutes: 'x',
    organization_id: 1,
    interest: 1,
    environment: 1,
    requested_modalities: 1,
    preferred_modality: 1,
  },
  invalid(
    null,
    'request_id',
    'correlation_id',
    'student_id',
    'student_query',
    'topic',
    'grade_level',
    'learning_objective',
    'duration_minutes',
    'organization_id',
    'interest',
    'environment',
    'requested_modalities',
    'preferred_modality',
  ),
);

export const FIELD_EXAMPLES: readonly Example[] = [
  ...limits,
  ...wrongTypes,
  ...absent,
  ...texts,
  ...numbers,
  ...modes,
  everything,
];
