/** Namespace, search attributes, and somebody who will run what is started. */
import type { Client } from '@temporalio/client';
import proto from '@temporalio/proto';
import { ALERT } from '../contract/alert.ts';
import { SEARCH_ATTRIBUTE } from '../contract/names.ts';
import { within, type Clock } from './clock.ts';
import { classifyTemporal, CODE, codeOf, describeError } from './grpc.ts';
import { unservedOf, type Build } from './pollers.ts';
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
 * Nothing where every build that gets new runs is polled for, for both kinds of tasks. Temporal counts who has polled in
 * the last five minutes (matching.PollerHistoryTTL), so a worker that restarts is not missed. Never rejects.
 */
export async function findPollers(client: Client, taskQueue: string, clock: Clock): Promise<Warning[]> {
  const { namespace } = client.options;
  const call = caller(client, clock);
  try {
    const queues = await Promise.all(
      [TASK_QUEUE_TYPE_WORKFLOW, TASK_QUEUE_TYPE_ACTIVITY].map((taskQueueType) =>
        call('describeTaskQueue', () =>
          client.workflowService.describeTaskQueue({ namespace, taskQueue: { name: taskQueue }, taskQueueType }),
        ),
      ),
    );
    const anybody = queues.every(({ pollers }) => pollers.length > 0);
    const texts = queues.flatMap(unservedOf).map((build) => nobodyPolls(taskQueue, build, anybody));
    return [...new Set(texts)].map((text) => warning(text, ALERT.noWorkerPolls));
  } catch (error) {
    return [warning(`whether a worker polls ${taskQueue} cannot be checked (${describeError(error)}).`)];
  }
}

/** @param anybody Somebody polls for each kind of task, though not whom new runs go to. */
function nobodyPolls(taskQueue: string, build: Build | null, anybody: boolean): string {
  if (build !== null) {
    const whose = `build ${build.buildId} of ${build.deploymentName}`;
    return `no worker of ${whose}, which gets new runs, polls task queue ${taskQueue}: runs will wait. Deploy its pool, or go back: npm run rollout -- rollback ${build.buildId}`;
  }
  return anybody
    ? `only workers with a version poll task queue ${taskQueue}, and none is current: runs will wait. Run: npm run rollout -- promote <build id>`
    : `nobody polls task queue ${taskQueue}: runs will wait. Start a worker: npm run worker`;
}
