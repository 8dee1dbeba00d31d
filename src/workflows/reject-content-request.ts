import type { RejectInput, RejectResult } from '../contract/workflow-io.ts';
import { rowActivities } from './activities.ts';

/** Fails the row that an API made for a message which proved invalid, so that nobody polls it for ever. */
export async function rejectContentRequest(input: RejectInput): Promise<RejectResult> {
  return rowActivities(`Fail the waiting row: ${input.code}`).rejectRequest(input);
}
