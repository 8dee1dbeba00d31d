/** What a rollout can do. Each looks first, refuses what would leave runs without a worker, and waits for facts. */
import type { Clock } from '../bridge/clock.ts';
import { CODE, codeOf } from '../bridge/grpc.ts';
import { ended, type Ended } from './exit.ts';
import type { Build, BuildStatus, Routing, WorkerDeployment } from './worker-deployment.ts';

export interface Options {
  /** How long a build's workers, or the end of its last run, are waited for. */
  readonly waitMs: number;
  readonly clock: Clock;
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
  options: Options,
): Promise<Ended> {
  const found = await untilPolling(deployment, buildId, options);
  if (found.kind === 'ended') return found.ended;
  const { routing, polling } = found;
  if (routing.current === buildId) return ended('refused', `${buildId} is current: it gets all new runs as it is`);
  if (!polling.has(routing.current)) {
    const rest = String(100 - percent);
    const who = routing.current === null ? 'no build is current' : `no worker of ${routing.current} polls`;
    return ended('refused', `${who}, so ${rest} % of the new runs would have no worker: promote ${buildId}`);
  }
  return change(deployment, options.clock, `${buildId} gets ${String(percent)} % of the new runs`, () =>
    deployment.setRamping({ buildId, percent }, routing.token),
  );
}

export async function promote(deployment: WorkerDeployment, buildId: string, options: Options): Promise<Ended> {
  const found = await untilPolling(deployment, buildId, options);
  if (found.kind === 'ended') return found.ended;
  const { routing } = found;
  if (routing.current === buildId && routing.ramping === null) return ended('done', `${buildId} is current already`);
  return makeCurrent(deployment, options.clock, buildId, routing, `${buildId} gets all new runs`);
}

/**
 * Ends a ramp; without one, whoever got all new runs before gets them again: the build that was current, or workers
 * without a version where none ever was. Runs that began on the bad build stay with it: its pool must live until they
 * have ended.
 */
export async function rollback(deployment: WorkerDeployment, options: Options): Promise<Ended> {
  const { clock } = options;
  const routing = await deployment.routing();
  if (routing === null) return unknownDeployment();
  const { ramping, current } = routing;
  if (ramping !== null) {
    return change(deployment, clock, `${ramping.buildId} gets no new runs; ${current ?? 'no build'} gets all`, () =>
      deployment.setRamping(null, routing.token),
    );
  }
  const again = `all new runs again, instead of ${current ?? 'workers without a version'}`;
  const before = routing.builds
    .filter(({ buildId, lastCurrentMs }) => buildId !== current && lastCurrentMs !== null)
    .sort((a, b) => (b.lastCurrentMs ?? 0) - (a.lastCurrentMs ?? 0))[0];
  if (before === undefined) {
    if (current === null || !(await deployment.polling()).has(null))
      return ended('refused', 'no other build has ever been current: there is nothing to go back to');
    return makeCurrent(deployment, clock, null, routing, `workers without a version get ${again}`);
  }
  const found = await untilPolling(deployment, before.buildId, options);
  if (found.kind === 'ended') return found.ended;
  return makeCurrent(deployment, clock, before.buildId, found.routing, `${before.buildId} gets ${again}`);
}

/** Done = its pool may go: no run is open on it, and none will be started. */
export async function drained(deployment: WorkerDeployment, buildId: string, options: Options): Promise<Ended> {
  let word: BuildStatus = 'unknown';
  const answer = await untilAnswered(options, async () => {
    const routing = await deployment.routing();
    if (routing === null) return unknownDeployment();
    const build = routing.builds.find((each) => each.buildId === buildId);
    if (build === undefined) return ended('unknown_build', `Temporal knows no build ${buildId}`);
    word = build.status;
    if (word === 'drained') return ended('done', `${buildId} is drained: its pool may go`);
    if (build.unused && word === 'inactive') return ended('done', `${buildId} has never had a run: its pool may go`);
    if (word === 'current' || word === 'ramping')
      return ended('not_yet', `${buildId} is ${word}, and gets new runs: promote another, or roll back, first`);
    return null;
  });
  return answer ?? ended('not_yet', `${buildId} is ${word}: runs that began on it are still open`);
}

/** @param buildId Null = workers without a version. */
async function makeCurrent(
  deployment: WorkerDeployment,
  clock: Clock,
  buildId: string | null,
  routing: Routing,
  text: string,
): Promise<Ended> {
  let { token } = routing;
  // A ramp to a third build would outlive the change. To this one, it ends with it.
  if (routing.ramping !== null && routing.ramping.buildId !== buildId) {
    const stopped = await change(deployment, clock, `${routing.ramping.buildId} gets no new runs`, () =>
      deployment.setRamping(null, routing.token),
    );
    if (stopped.reason !== 'done') return stopped;
    if (routing.current === buildId) return ended('done', text);
    token = (await deployment.routing())?.token ?? token;
  }
  return change(deployment, clock, text, () => deployment.setCurrent(buildId, token));
}

type Found =
  | { readonly kind: 'found'; readonly routing: Routing; readonly polling: ReadonlySet<string | null> }
  | { readonly kind: 'ended'; readonly ended: Ended };

async function untilPolling(deployment: WorkerDeployment, buildId: string, options: Options): Promise<Found> {
  const seen = { known: false };
  const found = await untilAnswered<Found>(options, async () => {
    const [routing, polling] = await Promise.all([deployment.routing(), deployment.polling()]);
    seen.known = routing?.builds.some((each) => each.buildId === buildId) === true;
    return routing !== null && seen.known && polling.has(buildId) ? { kind: 'found', routing, polling } : null;
  });
  if (found !== null) return found;
  const seconds = String(Math.round(options.waitMs / 1_000));
  return {
    kind: 'ended',
    ended: seen.known
      ? ended('no_pollers', `no worker of ${buildId} has polled for ${seconds} s: deploy its pool first`)
      : ended('unknown_build', `no worker of ${buildId} has come within ${seconds} s: is its pool deployed?`),
  };
}

/** Settled = every task queue routes by it: whoever publishes after that meets it. */
async function change(
  deployment: WorkerDeployment,
  clock: Clock,
  text: string,
  make: () => Promise<void>,
): Promise<Ended> {
  try {
    await make();
  } catch (error) {
    const code = codeOf(error);
    if (code !== CODE.failedPrecondition && code !== CODE.aborted) throw error;
    // Somebody else's token, or a task queue that the build does not poll: Temporal's words say which.
    return ended('refused', `Temporal refuses it (${(error as Error).message}): look at the status, and try again`);
  }
  const settled = await untilAnswered({ waitMs: SETTLE_MS, clock }, async () =>
    (await deployment.routing())?.settled === false ? null : true,
  );
  return settled === null ? ended('not_yet', `${text}; not every task queue has heard of it yet`) : ended('done', text);
}

/** Asks until there is an answer, once at least; null = none in time. A server that is away meanwhile is asked again. */
async function untilAnswered<T>({ waitMs, clock }: Options, ask: () => Promise<T | null>): Promise<T | null> {
  const until = clock.now() + waitMs;
  for (;;) {
    const last = clock.now() >= until;
    try {
      const answer = await ask();
      if (answer !== null || last) return answer;
    } catch (error) {
      const code = codeOf(error);
      if (last || (code !== CODE.unavailable && code !== CODE.deadlineExceeded)) throw error;
    }
    await clock.sleep(ASK_EVERY_MS);
  }
}

const unknownDeployment = (): Ended =>
  ended('unknown_build', 'Temporal knows no such deployment: no worker with WORKER_VERSIONING=1 has ever polled');
