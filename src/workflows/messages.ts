import { defineQuery } from '@temporalio/workflow';
import type { Progress } from '../contract/workflow-io.ts';

/** Where a run stands; answered by any worker, also for closed runs. */
export const progressQuery = defineQuery<Progress>('progress');
