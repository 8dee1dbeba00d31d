/** Makes a lesson script from the request alone: offline, free, and the same for the same request. */
import type { ContentRequest } from '../contract/request.ts';
import type { GenerationResult } from '../contract/workflow-io.ts';
import type { Generator } from './generator.ts';
import { bandFor, type Band } from './grade-band.ts';

export function createTemplateGenerator(): Generator {
  return {
    name: 'template',
    generate: (request, { signal }) => {
      // A cancelled attempt ends as cancelled, even where the work is too short to be interrupted.
      if (signal.aborted) return Promise.reject(reasonOf(signal));
      return Promise.resolve(lessonFor(request));
    },
    check: () => Promise.resolve('works offline'),
  };
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted');
}

function lessonFor(request: ContentRequest): GenerationResult {
  return {
    scriptText: script(request),
    media: { videoUrl: null, thumbnailUrl: null },
    usage: { provider: 'template', model: null, inputTokens: null, outputTokens: null },
    delivered: request.requestedModalities.includes('text') ? ['text'] : [],
  };
}

/** Shares of the running time. They leave the sections readable from 1 minute on. */
const SHARES = [
  ['Warm-up', 0.1],
  ['The idea', 0.2],
  ['A closer look', 0.3],
  ['A worked analogy', 0.2],
  ['Your turn', 0.1],
  ['Recap', 0.1],
] as const;
type SectionName = (typeof SHARES)[number][0];

/** What a subject is compared with where no interest is known. */
const PLAIN_COMPARISON = 'building something from parts';
const DEFAULT_MINUTES = 10;
/** Above this a lesson is a course: the text stops growing, the times do not. */
const LONGEST_MINUTES = 120;
/** One guided step of the closer look for each so many minutes of it. */
const MINUTES_A_STEP = 2;

interface Wording {
  /** What stands in a sentence for the subject. */
  readonly subject: string;
  readonly objective: string;
  readonly guess: string;
  readonly about: string;
  readonly way: string;
  readonly recap: string;
  readonly first: string;
  readonly use: string;
  readonly next: string;
}

/** The API's students ask questions, the plan's messages name topics: a question in the middle of a sentence is unreadable. */
function wordingOf(topic: string): Wording {
  if (/[?？]$/.test(topic)) {
    return {
      subject: 'the answer',
      objective: 'Answer the question, and support the answer with an example of your own.',
      guess: 'Before we start: what would you answer right now? A guess will do.',
      about: `This lesson looks for the answer to one question: ${topic}`,
      way: 'Three steps lead to it: what the question is about, how that works, and why it matters. Keep a line of your notes free for each.',
      recap: `We asked: ${topic}`,
      first: `In your own words: ${topic}`,
      use: 'Where in your own life could you use the answer?',
      next: 'What would you ask next, and where would you look for the answer?',
    };
  }
  return {
    subject: topic,
    objective: `Explain ${topic} and apply it to an example of your own.`,
    guess: `Before we start: where have you met ${topic} before? Any place will do.`,
    about: `This lesson is about ${topic}.`,
    way: 'Three questions lead through it: what it is, how it works, and why it matters. Keep a line of your notes free for each.',
    recap: `We asked what ${topic} is, how it works and why it matters.`,
    first: `In your own words: what is ${topic}?`,
    use: `Where in your own life could you use what you know about ${topic}?`,
    next: `What would you ask next about ${topic}, and where would you look for the answer?`,
  };
}

function script(request: ContentRequest): string {
  const topic = oneLine(request.topic, 'the topic of today');
  const wording = wordingOf(topic);
  const { subject } = wording;
  const interest = oneLine(request.interest ?? '', '');
  const objective = oneLine(request.learningObjective ?? '', wording.objective);
  const grade = oneLine(request.gradeLevel ?? '', '');
  const band = bandFor(request.gradeLevel);
  const minutes = request.durationMinutes ?? DEFAULT_MINUTES;
  const times = clockTimes(minutes);
  const named = grade === '' || /^(none|null|n\/a)$/i.test(grade) ? '' : ` · ${grade}`;

  return [
    `# ${topic}`,
    `*For ${band.audience}${named} · ${plural(minutes, 'minute')}*`,
    '## Objective',
    objective,
    heading('Warm-up', times),
    band.opening,
    interest === ''
      ? wording.guess
      : `You like ${interest}. Keep it in mind: we will use it to make sense of ${subject}.`,
    heading('The idea', times),
    wording.about,
    wording.way,
    heading('A closer look', times),
    steps(band, subject, minutes),
    heading('A worked analogy', times),
    analogy(subject, interest),
    heading('Your turn', times),
    band.activity,
    heading('Recap', times),
    [
      `- ${wording.recap}`,
      `- We compared it with ${interest === '' ? PLAIN_COMPARISON : interest}.`,
      `- ${band.recap}`,
    ].join('\n'),
    '## Questions',
    [
      `1. ${wording.first}`,
      interest === ''
        ? `2. ${wording.use}`
        : `2. Where does the comparison between ${subject} and ${interest} hold, and where does it break down?`,
      `3. ${wording.next}`,
    ].join('\n'),
  ]
    .join('\n\n')
    .concat('\n');
}

function heading(name: SectionName, times: ReadonlyMap<SectionName, string>): string {
  return `## ${name} (${times.get(name) ?? ''})`;
}

/** Start and end of each section; the last ends exactly with the lesson. */
function clockTimes(minutes: number): ReadonlyMap<SectionName, string> {
  const times = new Map<SectionName, string>();
  const seconds = minutes * 60;
  let share = 0;
  for (const [name, part] of SHARES) {
    const start = Math.round(seconds * share);
    share += part;
    times.set(name, `${clock(start)} to ${clock(Math.round(seconds * share))}`);
  }
  return times;
}

function clock(seconds: number): string {
  return `${String(Math.floor(seconds / 60))}:${String(seconds % 60).padStart(2, '0')}`;
}

function steps(band: Band, subject: string, minutes: number): string {
  const count = Math.max(1, Math.floor((Math.min(minutes, LONGEST_MINUTES) * 0.3) / MINUTES_A_STEP));
  const round = (index: number): number => Math.floor(index / band.explore.length);
  return Array.from({ length: count }, (_, index) => {
    const step = band.explore[index % band.explore.length] ?? '';
    const again = round(index) === 0 ? '' : ` This time with a new example of ${subject}.`;
    return `**Step ${String(index + 1)}.** ${step}${again}`;
  }).join('\n\n');
}

function analogy(subject: string, interest: string): string {
  const known = interest === '' ? PLAIN_COMPARISON : interest;
  return [
    `Think of ${known}.`,
    `1. **Parts.** Name three things that ${known} cannot do without. Then name three that ${subject} cannot do without.`,
    `2. **Rules.** In ${known}, some things always go together. Which things always go together in ${subject}?`,
    `3. **Change.** Change one part of ${known}: what happens to the rest? Make the same change in thought to ${subject}.`,
    `4. **Limits.** No comparison holds everywhere. Say one way in which ${subject} is not like ${known}.`,
  ].join('\n');
}

function plural(count: number, unit: string): string {
  return `${String(count)} ${unit}${count === 1 ? '' : 's'}`;
}

/**
 * What a student wrote is data: it stays on one line and starts no heading, list or link of its own. Controls,
 * bidirectional overrides and lone surrogates go, and Markdown's signs are escaped.
 */
function oneLine(text: string, otherwise: string): string {
  const line = text
    .toWellFormed()
    .replace(/[\s\p{Cc}\u2028\u2029]+/gu, ' ')
    .replace(/[\u202a-\u202e\u2066-\u2069]/g, '')
    .trim();
  if (line === '') return otherwise;
  return line
    .replace(/[\\`*_[\]<>]/g, '\\$&')
    .replace(/^[#+=~-]/, '\\$&')
    .replace(/^(\d+)([.)])/, '$1\\$2');
}
