/** Namespace, search attributes, and somebody who will run what is started. */
import type { Client } from '@temporalio/client';
import proto from '@temporalio/proto';
import { ALERT } from '../contract/alert.ts';
import { SEARCH_ATTRIBUTE } from '../contract/names.ts';
import { within, type Clock } from './clock.ts';
import { classifyTemporal, CODE, codeOf, describeError } from './grpc.ts';
import { problem, warning, type Checked, type Finding, type Warning } from './preflight.ts';

const { INDEXED_VALUE_TYPE_KEYWORD: KEYWORD } = proto.temporal.api.enums.v1.IndexedValueType;
const { TASK_QUEUE_TYPE_WORKFLOW, TASK_QUEUE_TYPE_ACTIVITY } = proto.temporal.api.enums.v1.TaskQueueType;
const DEADLINE_MS = 10_000;
const GUARD_MS = 1_000;

export async function checkTemporal(client: Client, taskQueue: string, clock: Clock): Promise<Checked> {
  const { namespace } = client.options;
  const call = caller(client, clock);
  try {
    await call('describeNamespace', () => client.workflowService.describeNamespace({ namespace }));
  } catch (error) {
    // Without its namespace nothing else can be asked.
    const trouble = classifyTemporal(error, namespace);
    return trouble.kind === 'outage' ? trouble : [problem(trouble.problem)];
  }
  const [attributes, pollers] = await Promise.all([
    checkSearchAttributes(client, namespace, call),
    findPollers(client, taskQueue, clock),
  ]);
  return [...attributes, ...pollers];
}

type Call = <T>(what: string, run: () => Promise<T>) => Promise<T>;

function caller(client: Client, clock: Clock): Call {
  return (what, run) => within(clock, DEADLINE_MS + GUARD_MS, what, client.withDeadline(Date.now() + DEADLINE_MS, run));
}

async function checkSearchAttributes(client: Client, namespace: string, call: Call): Promise<Finding[]> {
  try {
    const known = await call('listSearchAttributes', () =>
      client.connection.operatorService.listSearchAttributes({ namespace }),
    );
    return Object.values(SEARCH_ATTRIBUTE)
      .filter((name) => known.customAttributes[name] !== KEYWORD)
      .map((name) => {
        const wrongType = known.customAttributes[name] !== undefined;
        const create = `temporal operator search-attribute create --namespace ${namespace} --name ${name} --type Keyword`;
        return problem(
          wrongType
            ? `search attribute ${name} is not of type Keyword in namespace ${namespace}. Run: temporal operator search-attribute remove --namespace ${namespace} --name ${name} && ${create}`
            : `search attribute ${name} is not registered in namespace ${namespace}. Run: ${create}`,
        );
      });
  } catch (error) {
    // Temporal Cloud does not offer this call to clients; a start with an unknown attribute ends with exit 2 anyway.
    const code = codeOf(error);
    const expected = code === CODE.unimplemented || code === CODE.permissionDenied || code === CODE.unauthenticated;
    return [warning(`search attributes cannot be checked${expected ? ' here' : ''} (${describeError(error)}).`)];
  }
}

/**
 * Nothing where both kinds of tasks have pollers. Temporal counts who has polled in the last five minutes
 * (matching.PollerHistoryTTL), so a worker that restarts is not missed. Never rejects.
 */
export async function findPollers(client: Client, taskQueue: string, clock: Clock): Promise<Warning[]> {
  const { namespace } = client.options;
  const call = caller(client, clock);
  try {
    const counts = await Promise.all(
      [TASK_QUEUE_TYPE_WORKFLOW, TASK_QUEUE_TYPE_ACTIVITY].map(async (taskQueueType) => {
        const queue = await call('describeTaskQueue', () =>
          client.workflowService.describeTaskQueue({ namespace, taskQueue: { name: taskQueue }, taskQueueType }),
        );
        return queue.pollers.length;
      }),
    );
    if (counts.every((pollers) => pollers > 0)) return [];
    const text = `nobody polls task queue ${taskQueue}: runs will wait. Start a worker: npm run worker`;
    return [warning(text, ALERT.noWorkerPolls)];
  } catch (error) {
    return [warning(`whether a worker polls ${taskQueue} cannot be checked (${describeError(error)}).`)];
  }
}
