/** What a rollout can do. Each looks first, refuses what would leave runs without a worker, and waits for facts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CODE, codeOf } from '../bridge/grpc.ts';
import { ended, type Ended } from './exit.ts';
import type { Build, Routing, WorkerDeployment } from './worker-deployment.ts';

export interface Options {
  /** How long a build's workers, or the end of its last run, are waited for. */
  readonly waitMs: number;
}

const ASK_EVERY_MS = 500;
/** From the change to the last task queue that hears of it: a second as a rule. */
const SETTLE_MS = 60_000;

export interface Status extends Pick<Routing, 'current' | 'ramping' | 'settled'> {
  readonly builds: readonly (Build & { readonly polling: boolean })[];
  readonly unversionedPolling: boolean;
}

/** Null = no build has ever polled. */
export async function status(deployment: WorkerDeployment): Promise<Status | null> {
  const [routing, polling] = await Promise.all([deployment.routing(), deployment.polling()]);
  if (routing === null) return null;
  const { current, ramping, settled, builds } = routing;
  return {
    current,
    ramping,
    settled,
    builds: builds.map((build) => ({ ...build, polling: polling.has(build.buildId) })),
    unversionedPolling: polling.has(null),
  };
}

/** @param percent 1..99 of the new runs; all of them is a promotion. */
export async function ramp(
  deployment: WorkerDeployment,
  buildId: string,
  percent: number,
  { waitMs }: Options,
): Promise<Ended> {
  const found = await untilPolling(deployment, buildId, waitMs);
  if (found.kind === 'ended') return found.ended;
  const { routing, polling } = found;
  if (routing.current === buildId) return ended('refused', `${buildId} is current: it gets all new runs as it is`);
  if (routing.current === null && !polling.has(null)) {
    const rest = String(100 - percent);
    return ended(
      'refused',
      `no build is current, so ${rest} % of the new runs would have no worker: promote ${buildId}`,
    );
  }
  return change(deployment, `${buildId} gets ${String(percent)} % of the new runs`, () =>
    deployment.setRamping({ buildId, percent }, routing.token),
  );
}

export async function promote(deployment: WorkerDeployment, buildId: string, { waitMs }: Options): Promise<Ended> {
  const found = await untilPolling(deployment, buildId, waitMs);
  if (found.kind === 'ended') return found.ended;
  const { routing } = found;
  if (routing.current === buildId && routing.ramping === null) return ended('done', `${buildId} is current already`);
  return makeCurrent(deployment, buildId, routing, `${buildId} gets all new runs`);
}

/**
 * Ends a ramp; without one, the build that was current before gets all new runs again. Runs that began on the bad build
 * stay with it: its pool must live until they have ended.
 */
export async function rollback(deployment: WorkerDeployment, { waitMs }: Options): Promise<Ended> {
  const routing = await deployment.routing();
  if (routing === null) return unknownDeployment();
  const { ramping, current } = routing;
  if (ramping !== null) {
    return change(deployment, `${ramping.buildId} gets no new runs; ${current ?? 'no build'} gets all`, () =>
      deployment.setRamping(null, routing.token),
    );
  }
  const before = routing.builds
    .filter(({ buildId, lastCurrentMs }) => buildId !== current && lastCurrentMs !== null)
    .sort((a, b) => (b.lastCurrentMs ?? 0) - (a.lastCurrentMs ?? 0))[0];
  if (before === undefined)
    return ended('refused', 'no other build has ever been current: there is nothing to go back to');
  const found = await untilPolling(deployment, before.buildId, waitMs);
  if (found.kind === 'ended') return found.ended;
  const text = `${before.buildId} gets all new runs again, instead of ${current ?? 'none'}`;
  return makeCurrent(deployment, before.buildId, found.routing, text);
}

/** Done = its pool may go: no run is open on it, and none will be started. */
export async function drained(deployment: WorkerDeployment, buildId: string, { waitMs }: Options): Promise<Ended> {
  const until = Date.now() + waitMs;
  for (;;) {
    const routing = await deployment.routing();
    if (routing === null) return unknownDeployment();
    const build = routing.builds.find((each) => each.buildId === buildId);
    if (build === undefined) return ended('unknown_build', `Temporal knows no build ${buildId}`);
    if (build.status === 'drained') return ended('done', `${buildId} is drained: its pool may go`);
    if (build.unused && build.status === 'inactive')
      return ended('done', `${buildId} has never had a run: its pool may go`);
    if (build.status === 'current' || build.status === 'ramping') {
      return ended('not_yet', `${buildId} is ${build.status}, and gets new runs: promote another, or roll back, first`);
    }
    if (Date.now() >= until)
      return ended('not_yet', `${buildId} is ${build.status}: runs that began on it are still open`);
    await sleep(ASK_EVERY_MS);
  }
}

async function makeCurrent(
  deployment: WorkerDeployment,
  buildId: string,
  routing: Routing,
  text: string,
): Promise<Ended> {
  // A ramp to a third build would outlive the change. To this one, it ends with it.
  const other = routing.ramping !== null && routing.ramping.buildId !== buildId;
  if (other) {
    const stopped = await change(deployment, '', () => deployment.setRamping(null, routing.token));
    if (stopped.reason !== 'done') return stopped;
  }
  const token = other ? ((await deployment.routing())?.token ?? null) : routing.token;
  return change(deployment, text, () => deployment.setCurrent(buildId, token));
}

type Found =
  | { readonly kind: 'found'; readonly routing: Routing; readonly polling: ReadonlySet<string | null> }
  | { readonly kind: 'ended'; readonly ended: Ended };

async function untilPolling(deployment: WorkerDeployment, buildId: string, waitMs: number): Promise<Found> {
  const until = Date.now() + waitMs;
  for (;;) {
    const [routing, polling] = await Promise.all([deployment.routing(), deployment.polling()]);
    const known = routing?.builds.some((each) => each.buildId === buildId) === true;
    if (routing !== null && known && polling.has(buildId)) return { kind: 'found', routing, polling };
    if (Date.now() >= until) {
      const seconds = String(Math.round(waitMs / 1_000));
      return {
        kind: 'ended',
        ended: known
          ? ended('no_pollers', `no worker of ${buildId} has polled for ${seconds} s: deploy its pool first`)
          : ended('unknown_build', `no worker of ${buildId} has come within ${seconds} s: is its pool deployed?`),
      };
    }
    await sleep(ASK_EVERY_MS);
  }
}

/** Settled = every task queue routes by it: whoever publishes after that meets it. */
async function change(deployment: WorkerDeployment, text: string, make: () => Promise<void>): Promise<Ended> {
  try {
    await make();
  } catch (error) {
    const code = codeOf(error);
    if (code !== CODE.failedPrecondition && code !== CODE.aborted) throw error;
    // Somebody else's token, or a task queue that the build does not poll: Temporal's words say which.
    return ended('refused', `Temporal refuses it (${(error as Error).message}): look at the status, and try again`);
  }
  const until = Date.now() + SETTLE_MS;
  while ((await deployment.routing())?.settled === false) {
    if (Date.now() >= until) return ended('not_yet', `${text}; not every task queue has heard of it yet`);
    await sleep(ASK_EVERY_MS);
  }
  return ended('done', text);
}

const unknownDeployment = (): Ended =>
  ended('unknown_build', 'Temporal knows no such deployment: no worker with WORKER_VERSIONING=1 has ever polled');
