/** What retention does to a closed run, at once. */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import { CODE, codeOf } from '../../src/bridge/grpc.ts';
import { waitFor } from './wait-for.ts';

/** Asked again until it is gone: a deletion just after the close is sometimes dropped by the server. */
export async function forgetRun(client: Client, workflowId: string): Promise<void> {
  await waitFor(`${workflowId} is forgotten`, async () => {
    try {
      await client.workflowService.deleteWorkflowExecution({
        namespace: client.options.namespace,
        workflowExecution: { workflowId },
      });
      await client.workflow.getHandle(workflowId).describe();
      return false;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError || codeOf(error) === CODE.notFound) return true;
      throw error;
    }
  });
}
