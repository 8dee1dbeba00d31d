/** How a lesson speaks to its audience, and which audience a grade means. */
export interface Band {
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
export function bandFor(gradeLevel: string | null): Band {
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
