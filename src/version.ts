/** What runs: BUILD_ID of the image, or the package's version. In the first log line and in /health. */
import { readFileSync } from 'node:fs';

export function readVersion(env: Readonly<Record<string, string | undefined>>): string {
  const buildId = env['BUILD_ID']?.trim();
  if (buildId !== undefined && buildId !== '') return buildId;
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}
