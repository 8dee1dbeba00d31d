/**
 * What `npm audit --omit=dev --json` has answered, as a verdict for CI. Exit 0: no finding of the level, or nobody could be
 * asked, which is said; exit 1: findings. Not every registry answers audits (mirrors answer 405), and a build must not
 * depend on one that does.
 */
import { spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';

/**
 * moderate: the product is fed by strangers and talks to the network, where a denial of service counts, and those are
 * mostly rated moderate. low is left out: it is rarely reachable, and a build that is red for it is soon not looked at.
 */
export const LEVEL = 'moderate';
const LEVELS = ['info', 'low', 'moderate', 'high', 'critical'];

export interface Verdict {
  readonly kind: 'clean' | 'vulnerable' | 'cannot be asked';
  readonly exitCode: 0 | 1;
  readonly lines: readonly string[];
}

/** The parts of npm's report (auditReportVersion 2) that are read. */
interface Finding {
  readonly name: string;
  readonly severity: string;
  readonly range: string;
  readonly via?: readonly (string | { readonly title: string; readonly url: string })[];
  readonly fixAvailable?: unknown;
}
interface Answer {
  readonly message?: string;
  readonly error?: { readonly summary?: string };
  readonly vulnerabilities?: Readonly<Record<string, Finding>>;
  readonly metadata?: { readonly vulnerabilities?: object };
}

export function verdictOf(stdout: string, level = LEVEL): Verdict {
  const answer = parsed(stdout);
  if (answer?.vulnerabilities === undefined || answer.metadata?.vulnerabilities === undefined) {
    const said = answer?.message ?? answer?.error?.summary ?? '';
    // One line: a registry may answer with a page.
    const why = withoutAddresses(said === '' ? 'npm audit gave no report' : said.replace(/\s+/g, ' ')).slice(0, 200);
    const line = `audit: NOT DONE, the registry could not be asked (${why}): ask one that answers before a release`;
    return { kind: 'cannot be asked', exitCode: 0, lines: [line] };
  }
  const counted = LEVELS.slice(LEVELS.indexOf(level));
  const found = Object.values(answer.vulnerabilities).filter(({ severity }) => counted.includes(severity));
  const scope = `runtime dependencies, ${level} and above`;
  if (found.length === 0) return { kind: 'clean', exitCode: 0, lines: [`audit: no finding (${scope})`] };
  return {
    kind: 'vulnerable',
    exitCode: 1,
    lines: [`audit: ${String(found.length)} findings (${scope})`, ...found.map(describe)],
  };
}

function parsed(text: string): Answer | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : null;
  } catch {
    return null;
  }
}

/** Where a mirror stands is nobody's business who reads a build's log. */
const withoutAddresses = (text: string): string => text.replace(/https?:\/\/\S+/g, 'its address');

function describe({ name, severity, range, via, fixAvailable }: Finding): string {
  const why = (via ?? [])
    .map((each) => (typeof each === 'string' ? `by ${each}` : `${each.title} ${each.url}`))
    .join('; ');
  const fix = fixAvailable === false || fixAvailable === undefined ? 'no fix yet' : 'npm audit fix --omit=dev';
  return `  ${severity}: ${name} ${range} (${why}); ${fix}`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { stdout } = spawnSync('npm', ['audit', '--omit=dev', '--json'], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    timeout: 60_000,
  });
  const { lines, exitCode } = verdictOf(stdout);
  for (const line of lines) console.log(line);
  process.exitCode = exitCode;
}
