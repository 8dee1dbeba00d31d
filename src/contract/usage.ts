/** What attempts cost that brought no result: they are paid for as well. */
import type { SpentUsage, Usage } from './workflow-io.ts';

export function addSpent(before: SpentUsage | null, usage: Usage | undefined): SpentUsage | null {
  if (usage === undefined) return before;
  const sum = (one: number | null | undefined, other: number | null | undefined): number | null =>
    typeof one === 'number' || typeof other === 'number' ? (one ?? 0) + (other ?? 0) : null;
  return {
    attempts: (before?.attempts ?? 0) + 1,
    inputTokens: sum(before?.inputTokens, usage.inputTokens),
    outputTokens: sum(before?.outputTokens, usage.outputTokens),
    costUsd: sum(before?.costUsd, usage.costUsd),
  };
}
