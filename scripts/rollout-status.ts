/**
 * What scripts/deploy.sh asks of `npm run rollout -- status --json`, which comes on stdin; `null` is a deployment that
 * Temporal has never seen.
 *
 *   current        the build that gets the new runs, but for a ramp's; nothing where there is none
 *   gets BUILD_ID  yes or no: the build gets new runs, all of them or a ramp's
 *   over           a line for each build whose pool may go
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { currentBefore } from '../src/rollout/verbs.ts';
import { orExplain } from './explain.ts';

const status = z
  .looseObject({
    current: z.string().nullable(),
    ramping: z.looseObject({ buildId: z.string() }).nullable(),
    builds: z.array(
      z.looseObject({
        buildId: z.string(),
        status: z.string(),
        lastCurrentMs: z.number().nullable(),
        firstActiveMs: z.number().nullable(),
      }),
    ),
  })
  .nullable();
export type Status = z.infer<typeof status>;

export const readStatus = (text: string): Status => status.parse(JSON.parse(text));

export const getsNewRuns = (seen: Status, buildId: string): boolean =>
  buildId !== '' && (seen?.current === buildId || seen?.ramping?.buildId === buildId);

/**
 * Builds without an open run that get no new ones. The one before stays, drained as it is: a rollback goes there, and
 * waits for nothing while its workers poll.
 */
export function over(seen: Status): string[] {
  if (seen === null) return [];
  const { current, builds } = seen;
  const before = currentBefore(current, builds);
  return builds
    .filter((build) => build.status === 'drained' || (build.status === 'inactive' && build.firstActiveMs === null))
    .map(({ buildId }) => buildId)
    .filter((buildId) => buildId !== before && !getsNewRuns(seen, buildId));
}

function answerOf(question: string, buildId: string): readonly string[] {
  const seen = readStatus(readFileSync(0, 'utf8'));
  const answers: Readonly<Record<string, () => readonly string[]>> = {
    current: () => (seen?.current ? [seen.current] : []),
    gets: () => [getsNewRuns(seen, buildId) ? 'yes' : 'no'],
    over: () => over(seen),
  };
  const answer = answers[question];
  if (answer === undefined) throw new TypeError(`'${question}' is none of ${Object.keys(answers).join(', ')}`);
  return answer();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [question = '', buildId = ''] = process.argv.slice(2);
  orExplain('rollout-status', () => {
    for (const line of answerOf(question, buildId)) console.log(line);
  });
}
