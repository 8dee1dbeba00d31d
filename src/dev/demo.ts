/** The four messages of `npm start`, what must become of each, and the script that makes two of them fail. */
import { randomUUID } from 'node:crypto';
import type { Script } from './scripted-generator.ts';

export interface Expected {
  /** How its run ends; null = no run may exist. */
  readonly workflow: 'Completed' | 'Failed' | null;
  /** Null = no row may exist. */
  readonly status: 'completed' | 'failed' | null;
  readonly retryCount: number | null;
  /** dlq_reason of its one letter; null = no letter. */
  readonly letter: string | null;
}

export interface DemoMessage {
  readonly title: string;
  readonly body: string;
  readonly expected: Expected | null;
}

const fields = (more: Record<string, unknown>): string =>
  JSON.stringify({ student_id: 'test-student', grade_level: '9th Grade', ...more });

/**
 * The plan's own message keeps its id: data is fresh at each start. With kept data it is a duplicate from the second
 * start on, and still ends completed.
 */
export function demoMessages(): { readonly messages: readonly DemoMessage[]; readonly script: Script } {
  const run = randomUUID().slice(0, 8);
  const twice = `test-fails-twice-${run}`;
  const always = `test-fails-for-good-${run}`;
  return {
    messages: [
      {
        title: "the plan's own message",
        // The bytes of the plan's phase 6.
        body: '{"correlation_id": "test-001", "student_id": "test-student", "topic": "Python Basics", "grade_level": "9th Grade"}',
        expected: { workflow: 'Completed', status: 'completed', retryCount: 0, letter: null },
      },
      {
        title: 'fails twice, then works',
        body: fields({ correlation_id: twice, topic: 'The water cycle', interest: 'surfing' }),
        expected: { workflow: 'Completed', status: 'completed', retryCount: 2, letter: null },
      },
      {
        title: 'fails for good',
        body: fields({ correlation_id: always, topic: 'Black holes' }),
        expected: { workflow: 'Failed', status: 'failed', retryCount: 5, letter: 'attempts_exhausted' },
      },
      {
        title: 'poison',
        body: fields({ request_id: 'invalid-uuid', student_query: 'What is poison?' }),
        expected: { workflow: null, status: null, retryCount: null, letter: 'invalid_fields' },
      },
    ],
    script: {
      [twice]: [{ kind: 'transient', code: 'http_500' }, { kind: 'transient', code: 'http_500' }, { kind: 'ok' }],
      [always]: [{ kind: 'transient', code: 'http_500' }],
    },
  };
}
