/** The worker deployment in Temporal: its versions are the builds, and its routing says who gets new runs. */
import type { Client } from '@temporalio/client';
import proto from '@temporalio/proto';
import { CODE, codeOf } from '../bridge/grpc.ts';
import { buildOf } from '../bridge/pollers.ts';
import type { RolloutConfig } from '../config.ts';

const { WorkerDeploymentVersionStatus, RoutingConfigUpdateState, TaskQueueType } = proto.temporal.api.enums.v1;

/** By Temporal's numbers. */
const STATUS = {
  [WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_UNSPECIFIED]: 'unknown',
  [WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_INACTIVE]: 'inactive',
  [WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT]: 'current',
  [WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_RAMPING]: 'ramping',
  [WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING]: 'draining',
  [WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED]: 'drained',
  [WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_CREATED]: 'inactive',
} as const;

export type BuildStatus = (typeof STATUS)[keyof typeof STATUS];

export interface Build {
  readonly buildId: string;
  readonly status: BuildStatus;
  /** When it first got new runs, by a ramp or as the current one; null = no run has ever been given to it. */
  readonly firstActiveMs: number | null;
  /** When it last became the one that all new runs get; null = never. */
  readonly lastCurrentMs: number | null;
}

export interface Routing {
  /** Null = new runs go to workers without a version. */
  readonly current: string | null;
  readonly ramping: { readonly buildId: string; readonly percent: number } | null;
  readonly builds: readonly Build[];
  /** All task queues have heard of it. */
  readonly settled: boolean;
  /** Given with a change, it refuses the change where somebody else was faster. */
  readonly token: Uint8Array;
}

/** A poll lasts up to a minute, and is counted from its begin. */
const POLLS_WITHIN_MS = 90_000;
const CALL_MS = 10_000;

export interface WorkerDeployment {
  /** Null = no build has ever polled. */
  routing(): Promise<Routing | null>;
  /** Build ids whose workers poll for workflows and for activities alike; null stands for workers without a version. */
  polling(): Promise<ReadonlySet<string | null>>;
  /** Null = workers without a version. */
  setCurrent(buildId: string | null, token: Uint8Array | null): Promise<void>;
  /** Null = no ramp. */
  setRamping(
    ramp: { readonly buildId: string; readonly percent: number } | null,
    token: Uint8Array | null,
  ): Promise<void>;
}

export function workerDeployment(client: Client, config: RolloutConfig): WorkerDeployment {
  const { deploymentName, temporal } = config;
  const { namespace } = temporal;
  const service = client.workflowService;
  const identity = 'rollout';
  const call = <T>(make: () => Promise<T>): Promise<T> => client.withDeadline(Date.now() + CALL_MS, make);
  const pollersOf = async (taskQueueType: proto.temporal.api.enums.v1.TaskQueueType): Promise<Set<string | null>> => {
    const { pollers } = await call(() =>
      service.describeTaskQueue({ namespace, taskQueue: { name: temporal.taskQueue }, taskQueueType }),
    );
    const since = Date.now() - POLLS_WITHIN_MS;
    const found = pollers.flatMap((poller): (string | null)[] => {
      if ((millisecondsOf(poller.lastAccessTime) ?? 0) < since) return [];
      const build = buildOf(poller);
      if (build === null) return [null];
      return build.deploymentName === deploymentName ? [build.buildId] : [];
    });
    return new Set(found);
  };
  return {
    routing: async () => {
      try {
        const { workerDeploymentInfo, conflictToken } = await call(() =>
          service.describeWorkerDeployment({ namespace, deploymentName }),
        );
        const config_ = workerDeploymentInfo?.routingConfig;
        const ramping = config_?.rampingDeploymentVersion?.buildId;
        return {
          current: config_?.currentDeploymentVersion?.buildId ?? null,
          ramping:
            ramping === undefined || ramping === null
              ? null
              : { buildId: ramping, percent: config_?.rampingVersionPercentage ?? 0 },
          builds: (workerDeploymentInfo?.versionSummaries ?? []).map((version) => ({
            buildId: version.deploymentVersion?.buildId ?? '',
            status: STATUS[version.status ?? 0],
            firstActiveMs: millisecondsOf(version.firstActivationTime),
            lastCurrentMs: millisecondsOf(version.lastCurrentTime),
          })),
          settled:
            workerDeploymentInfo?.routingConfigUpdateState !==
            RoutingConfigUpdateState.ROUTING_CONFIG_UPDATE_STATE_IN_PROGRESS,
          token: conflictToken,
        };
      } catch (error) {
        // NOT_FOUND is also a namespace that is not there, which is told by its own name.
        if (codeOf(error) === CODE.notFound && !/namespace/i.test((error as Error).message)) return null;
        throw error;
      }
    },
    polling: async () => {
      const [workflows, activities] = await Promise.all([
        pollersOf(TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW),
        pollersOf(TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY),
      ]);
      return new Set([...workflows].filter((build) => activities.has(build)));
    },
    setCurrent: async (buildId, token) => {
      await call(() =>
        service.setWorkerDeploymentCurrentVersion({
          namespace,
          deploymentName,
          buildId: buildId ?? '',
          conflictToken: token,
          identity,
        }),
      );
    },
    setRamping: async (ramp, token) => {
      const { buildId, percent } = ramp ?? { buildId: '', percent: 0 };
      await call(() =>
        service.setWorkerDeploymentRampingVersion({
          namespace,
          deploymentName,
          buildId,
          percentage: percent,
          conflictToken: token,
          identity,
        }),
      );
    },
  };
}

type Timestamp = { readonly seconds?: unknown; readonly nanos?: number | null } | null | undefined;

/** Null also for a time that the server left at zero. */
function millisecondsOf(time: Timestamp): number | null {
  const seconds = Number(time?.seconds ?? 0);
  return seconds === 0 ? null : seconds * 1_000 + Math.floor((time?.nanos ?? 0) / 1_000_000);
}
