/** What the model must answer with, as a schema, as a check, and as the text that is stored. */
import { z } from 'zod';

/** JSON Schema, as responseJsonSchema takes it. Lengths are checked afterwards: the API enforces few keywords. */
export const LESSON_SCHEMA = {
  type: 'object',
  properties: {
    title: { type: 'string' },
    objective: { type: 'string', description: 'What a learner can do afterwards; one sentence.' },
    sections: {
      type: 'array',
      minItems: 1,
      items: {
        type: 'object',
        properties: { heading: { type: 'string' }, text: { type: 'string', description: 'Plain text or Markdown.' } },
        required: ['heading', 'text'],
      },
    },
    questions: { type: 'array', items: { type: 'string' } },
  },
  required: ['title', 'objective', 'sections', 'questions'],
} as const;

const written = z.string().trim().min(1);

export const Lesson = z.object({
  title: written,
  objective: written,
  sections: z.array(z.object({ heading: written, text: written })).min(1),
  questions: z.array(written),
});

/** Markdown, as the other generators write it. */
export function scriptOf(lesson: z.infer<typeof Lesson>): string {
  return [
    `# ${lesson.title}`,
    '## Objective',
    lesson.objective,
    ...lesson.sections.flatMap(({ heading, text }) => [`## ${heading}`, text]),
    ...(lesson.questions.length === 0
      ? []
      : ['## Questions', lesson.questions.map((question, index) => `${String(index + 1)}. ${question}`).join('\n')]),
  ]
    .join('\n\n')
    .concat('\n');
}
