/** Who polls a task queue, and whether each build that gets new runs is among them. */
import proto from '@temporalio/proto';

const { WORKER_VERSIONING_MODE_VERSIONED: VERSIONED } = proto.temporal.api.enums.v1.WorkerVersioningMode;

type Queue = Pick<proto.temporal.api.workflowservice.v1.IDescribeTaskQueueResponse, 'pollers' | 'versioningInfo'>;
type Poller = NonNullable<Queue['pollers']>[number];

export interface Build {
  readonly deploymentName: string;
  readonly buildId: string;
}

/** Null = a worker without a version. */
export function buildOf({ deploymentOptions: options }: Poller): Build | null {
  if (options?.workerVersioningMode !== VERSIONED) return null;
  return { deploymentName: options.deploymentName ?? '', buildId: options.buildId ?? '' };
}

/** Who gets new runs, and of them those that nobody polls for; null stands for workers without a version. */
export function unservedOf({ pollers, versioningInfo }: Queue): (Build | null)[] {
  const polling = (pollers ?? []).map(buildOf);
  return targetsOf(versioningInfo).filter((target) => !polling.some((build) => isSame(build, target)));
}

function targetsOf(info: Queue['versioningInfo']): (Build | null)[] {
  const percent = info?.rampingVersionPercentage ?? 0;
  const current = percent >= 100 ? [] : [versionOf(info?.currentDeploymentVersion)];
  return percent > 0 ? [...current, versionOf(info?.rampingDeploymentVersion)] : current;
}

function versionOf(
  version: { readonly deploymentName?: string | null; readonly buildId?: string | null } | null | undefined,
): Build | null {
  if (version === null || version === undefined) return null;
  return { deploymentName: version.deploymentName ?? '', buildId: version.buildId ?? '' };
}

function isSame(one: Build | null, other: Build | null): boolean {
  return one?.deploymentName === other?.deploymentName && one?.buildId === other?.buildId;
}
