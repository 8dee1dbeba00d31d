/** Looks at everything the bridge needs before the first pull, and says in one message what is wrong and what mends it. */
import type { AlertCode } from '../contract/alert.ts';
import { untilAborted, type Clock } from './clock.ts';
import type { Trouble } from './grpc.ts';

/** What one check found. Warnings let the run go on. */
export type Finding = { readonly kind: 'problem'; readonly text: string } | Warning;

export interface Warning {
  readonly kind: 'warning';
  readonly text: string;
  /** An alert reads the line of it. */
  readonly alert?: AlertCode;
}

export type Checked = readonly Finding[] | Extract<Trouble, { kind: 'outage' }>;

export type Preflight =
  | { readonly kind: 'ok'; readonly warnings: readonly Warning[] }
  | { readonly kind: 'problems'; readonly problems: readonly string[]; readonly warnings: readonly Warning[] }
  | { readonly kind: 'outage'; readonly of: 'temporal' | 'pubsub'; readonly error: string };

export interface PreflightChecks {
  temporal(): Promise<Checked>;
  pubsub(): Promise<Checked>;
}

export const problem = (text: string): Finding => ({ kind: 'problem', text });
export const warning = (text: string, alert?: AlertCode): Warning => ({
  kind: 'warning',
  text,
  ...(alert === undefined ? {} : { alert }),
});

export async function preflight(checks: PreflightChecks): Promise<Preflight> {
  const [temporal, pubsub] = await Promise.all([checks.temporal(), checks.pubsub()]);
  const findings = [temporal, pubsub].flatMap((checked) => ('kind' in checked ? [] : checked));
  const problems = findings.filter((finding) => finding.kind === 'problem').map((finding) => finding.text);
  const warnings = findings.filter((finding) => finding.kind === 'warning');
  // A problem is reported even beside an outage: waiting would not mend it.
  if (problems.length > 0) return { kind: 'problems', problems, warnings };
  if ('kind' in temporal) return { kind: 'outage', of: 'temporal', error: temporal.error };
  if ('kind' in pubsub) return { kind: 'outage', of: 'pubsub', error: pubsub.error };
  return { kind: 'ok', warnings };
}

/** Tries again through an outage, until `limitMs` is over (Infinity for --follow) or the signal ends it. */
export async function preflightPatiently(
  checks: PreflightChecks,
  limitMs: number,
  clock: Clock,
  signal: AbortSignal,
  onRetry: (outage: Extract<Preflight, { kind: 'outage' }>) => void,
): Promise<Preflight> {
  const startedAt = clock.now();
  for (let waitMs = 250; ; waitMs = Math.min(5_000, waitMs * 2)) {
    const answer = await untilAborted(signal, preflight(checks));
    // A server that says nothing would hold us for all of its deadlines.
    const result: Preflight =
      answer === 'aborted' ? { kind: 'outage', of: 'temporal', error: 'stopped by a signal' } : answer;
    if (result.kind !== 'outage' || signal.aborted || clock.now() - startedAt + waitMs > limitMs) return result;
    onRetry(result);
    await clock.sleep(waitMs, signal);
  }
}

export function problemsMessage(problems: readonly string[]): string {
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
  return [`The bridge cannot run: ${count}.`, ...problems.map((text) => `- ${text}`)].join('\n');
}
