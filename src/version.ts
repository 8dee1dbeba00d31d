/** What runs: BUILD_ID of the image, or the package's version. In the first log line and in /health. */
import { readFileSync } from 'node:fs';

/** The commit that was built; null where nobody said. */
export function readCommit(env: Readonly<Record<string, string | undefined>>): string | null {
  const commit = env['COMMIT_SHA']?.trim();
  return commit === undefined || commit === '' ? null : commit;
}

export function readVersion(env: Readonly<Record<string, string | undefined>>): string {
  const buildId = env['BUILD_ID']?.trim();
  if (buildId !== undefined && buildId !== '') return buildId;
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}
