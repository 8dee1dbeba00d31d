/** Makes a lesson script from the request alone: offline, free, and the same for the same request. */
import type { ContentRequest } from '../contract/request.ts';
import type { GenerationResult } from '../contract/workflow-io.ts';
import type { Generator } from './generator.ts';

export function createTemplateGenerator(): Generator {
  return {
    name: 'template',
    generate: (request, { signal }) => {
      // A cancelled attempt ends as cancelled, even where the work is too short to be interrupted.
      if (signal.aborted) return Promise.reject(reasonOf(signal));
      return Promise.resolve(lessonFor(request));
    },
    check: () => Promise.resolve(),
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

interface Band {
  readonly audience: string;
  readonly opening: string;
  /** How the lesson speaks of looking closer. */
  readonly explore: readonly string[];
  readonly activity: string;
  /** How a recap is asked for. */
  readonly recap: string;
}

const BANDS = {
  early: {
    audience: 'young learners (kindergarten to grade 2)',
    opening: 'Let us find out something new together. You can stop and ask at any time.',
    explore: [
      'Say the words out loud once. Which of them do you know already? Tell somebody next to you.',
      'Draw a picture of it. Point at each part and give it a name.',
      'Look around the room. Can you find something that is a little bit like it?',
    ],
    activity: 'Take three things from your desk. Put them in an order, and say why you chose it.',
    recap: 'Tell the lesson back in one sentence of your own.',
  },
  elementary: {
    audience: 'elementary learners (grades 3 to 5)',
    opening: 'By the end of this lesson you will be able to explain the idea to a friend in your own words.',
    explore: [
      'Write down what you already know, and one thing that puzzles you.',
      'Split the idea into parts. For each part, write one short sentence that says what it does.',
      'Look at how the parts work together. What would happen if one of them were missing?',
    ],
    activity: 'Make a small poster: the idea in the middle, its parts around it, an arrow for each link.',
    recap: 'Name the parts again without looking, then check your notes.',
  },
  middle: {
    audience: 'middle school learners (grades 6 to 8)',
    opening: 'You will meet the idea, take it apart, test it on an example, and put it into your own words.',
    explore: [
      'Start from a definition. Underline each word in it that needs a definition of its own, and look those up first.',
      'Separate what can be observed from what explains it. Keep two columns.',
      'Look for cause and effect: what changes, what stays the same, and what makes the difference?',
    ],
    activity: 'Write two statements about the idea, one true and one almost true. Let somebody find the slip.',
    recap: 'Compare the definition that you began with to the one that you would give now.',
  },
  high: {
    audience: 'high school learners (grades 9 to 12)',
    opening:
      'The aim is not to remember the idea but to use it: to predict, to argue and to see where it stops being valid.',
    explore: [
      'State the idea precisely, with its conditions. Which terms are defined, and which are taken for granted?',
      'Work out what follows from it. A claim that nothing would contradict explains nothing: what would contradict this one?',
      'Look at the evidence. How do we know it, who disagreed, and what settled the question?',
    ],
    activity:
      'Choose a case that the lesson did not mention. Predict, by the idea alone, what happens; then look it up.',
    recap: 'Explain the idea, its strongest evidence and its limits in three sentences.',
  },
  college: {
    audience: 'college and adult learners',
    opening: 'We go from the definition to the argument behind it, and from there to its limits.',
    explore: [
      'Define the idea in the form that its field uses, and note the assumptions that come with the form.',
      'Reconstruct the argument: premises, inference, conclusion. Which premise carries the most weight?',
      'Place it: what did it replace, what does it make possible, and which questions does it leave open?',
    ],
    activity: 'Write the best objection that you can find, then the best reply to it.',
    recap: 'Summarise the argument for somebody from another field.',
  },
  general: {
    audience: 'learners of any level',
    opening: 'Go at your own pace: each section stands on the one before it.',
    explore: [
      'Say in plain words what the subject is about, and what you hope to understand.',
      'Break it into parts that you can explain one by one.',
      'Connect the parts: which depends on which, and why?',
    ],
    activity: 'Explain the subject to somebody else in two minutes, and note the place where you got stuck.',
    recap: 'Go back to that place and read the section on it again.',
  },
} as const satisfies Record<string, Band>;

/** Grades come as `9`, `9th Grade`, `Grade 10`, `K`, `None`, or as anything else: what is not understood is general. */
function bandFor(gradeLevel: string | null): Band {
  const grade = (gradeLevel ?? '').toLowerCase();
  if (/\b(kindergarten|pre-?k|k)\b/.test(grade)) return BANDS.early;
  if (/\b(college|university|undergraduate|graduate|adult)\b/.test(grade)) return BANDS.college;
  if (/\belementary\b/.test(grade)) return BANDS.elementary;
  if (/\bmiddle school\b/.test(grade)) return BANDS.middle;
  if (/\bhigh school\b/.test(grade)) return BANDS.high;
  const number = /(?<![\d.-])(\d{1,2})(?:st|nd|rd|th)?(?![\d.\p{L}])/u.exec(grade)?.[1];
  if (number === undefined) return BANDS.general;
  const year = Number(number);
  if (year <= 2) return BANDS.early;
  if (year <= 5) return BANDS.elementary;
  if (year <= 8) return BANDS.middle;
  return year <= 12 ? BANDS.high : BANDS.general;
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

function script(request: ContentRequest): string {
  const topic = oneLine(request.topic, 'the topic of today');
  const interest = oneLine(request.interest ?? '', '');
  const objective = oneLine(
    request.learningObjective ?? '',
    `Explain ${topic} and apply it to an example of your own.`,
  );
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
      ? `Before we start: where have you met ${topic} before? Any place will do.`
      : `You like ${interest}. Keep it in mind: we will use it to make sense of ${topic}.`,
    heading('The idea', times),
    `This lesson is about ${topic}.`,
    'Three questions lead through it: what it is, how it works, and why it matters. Keep a line of your notes free for each.',
    heading('A closer look', times),
    steps(band, topic, minutes),
    heading('A worked analogy', times),
    analogy(topic, interest),
    heading('Your turn', times),
    band.activity,
    heading('Recap', times),
    [
      `- We asked what ${topic} is, how it works and why it matters.`,
      `- We compared it with ${interest === '' ? PLAIN_COMPARISON : interest}.`,
      `- ${band.recap}`,
    ].join('\n'),
    '## Questions',
    [
      `1. In your own words: what is ${topic}?`,
      interest === ''
        ? `2. Where in your own life could you use what you know about ${topic}?`
        : `2. Where does the comparison between ${topic} and ${interest} hold, and where does it break down?`,
      `3. What would you ask next about ${topic}, and where would you look for the answer?`,
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

function steps(band: Band, topic: string, minutes: number): string {
  const count = Math.max(1, Math.floor((Math.min(minutes, LONGEST_MINUTES) * 0.3) / MINUTES_A_STEP));
  const round = (index: number): number => Math.floor(index / band.explore.length);
  return Array.from({ length: count }, (_, index) => {
    const step = band.explore[index % band.explore.length] ?? '';
    const again = round(index) === 0 ? '' : ` This time with a new example of ${topic}.`;
    return `**Step ${String(index + 1)}.** ${step}${again}`;
  }).join('\n\n');
}

function analogy(topic: string, interest: string): string {
  const known = interest === '' ? PLAIN_COMPARISON : interest;
  return [
    `Think of ${known}.`,
    `1. **Parts.** Name three things that ${known} cannot do without. Then name three that ${topic} cannot do without.`,
    `2. **Rules.** In ${known}, some things always go together. Which things always go together in ${topic}?`,
    `3. **Change.** Change one part of ${known}: what happens to the rest? Make the same change in thought to ${topic}.`,
    `4. **Limits.** No comparison holds everywhere. Say one way in which ${topic} is not like ${known}.`,
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
