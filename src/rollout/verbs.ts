/** What a rollout can do. Each looks first, refuses what would leave runs without a worker, and waits for facts. */
import type { Clock } from '../bridge/clock.ts';
import { CODE, codeOf } from '../bridge/grpc.ts';
import { ended, type Ended } from './exit.ts';
import type { Build, BuildStatus, Routing, WorkerDeployment } from './worker-deployment.ts';

export interface Options {
  /** How long a build's workers, or the end of its last run, are waited for. */
  readonly waitMs: number;
  readonly clock: Clock;
  /** For people: that it waits, and for what. */
  readonly say?: (line: string) => void;
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
 * Takes the new runs from a bad build, which is named so that a second call finds nothing to do: a ramp of it ends; where
 * it is current, whoever was current before it is again, or workers without a version where no build was. Runs that began
 * on the bad build stay with it: its pool must live until they have ended.
 */
export async function rollback(deployment: WorkerDeployment, bad: string, options: Options): Promise<Ended> {
  const { clock } = options;
  const routing = await deployment.routing();
  if (routing === null) return unknownDeployment();
  const { current, ramping, builds } = routing;
  if (!builds.some(({ buildId }) => buildId === bad)) return unknownBuild(bad);
  if (ramping?.buildId === bad) {
    return change(deployment, clock, `${bad} gets no new runs; ${current ?? 'no build'} gets all`, () =>
      deployment.setRamping(null, routing.token),
    );
  }
  // Whoever asks again after `not_yet` wants to know when everybody has heard of it.
  if (current !== bad) return untilSettled(deployment, clock, `${bad} gets no new runs as it is: nothing is changed`);
  const again = `all new runs again, instead of ${bad}`;
  const before = currentBefore(bad, builds);
  if (before === null) {
    if (!(await deployment.polling()).has(null))
      return ended('refused', `no build was current before ${bad}: promote the one that shall get the new runs`);
    return makeCurrent(deployment, clock, null, routing, `workers without a version get ${again}`);
  }
  const found = await untilPolling(deployment, before, options);
  if (found.kind === 'ended') return found.ended;
  if (found.routing.current !== bad)
    return ended('refused', `${bad} has stopped being current meanwhile: look at the status, and try again`);
  return makeCurrent(deployment, clock, before, found.routing, `${before} gets ${again}`);
}

/**
 * Of those that were current, the last one. Not one that got its first runs after the bad build had: it has been rolled
 * back to the bad one, and would come back by the next rollback.
 */
export function currentBefore(
  bad: string | null,
  builds: readonly Pick<Build, 'buildId' | 'lastCurrentMs' | 'firstActiveMs'>[],
): string | null {
  const since = builds.find(({ buildId }) => buildId === bad)?.firstActiveMs ?? Infinity;
  const [before] = builds
    .filter(({ buildId, lastCurrentMs }) => buildId !== bad && lastCurrentMs !== null)
    .filter(({ firstActiveMs }) => (firstActiveMs ?? 0) < since)
    .sort((a, b) => (b.lastCurrentMs ?? 0) - (a.lastCurrentMs ?? 0));
  return before?.buildId ?? null;
}

/** Done = its pool may go: no run is open on it, and none will be started. */
export async function drained(deployment: WorkerDeployment, buildId: string, options: Options): Promise<Ended> {
  let word: BuildStatus = 'unknown';
  const answer = await untilAnswered(options, async () => {
    const routing = await deployment.routing();
    if (routing === null) return unknownDeployment();
    const build = routing.builds.find((each) => each.buildId === buildId);
    if (build === undefined) return unknownBuild(buildId);
    word = build.status;
    if (word === 'drained') return ended('done', `${buildId} is drained: its pool may go`);
    if (build.firstActiveMs === null && word === 'inactive')
      return ended('done', `${buildId} has never had a run: its pool may go`);
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
  const seen = { known: false, told: false };
  const found = await untilAnswered<Found>(options, async () => {
    const [routing, polling] = await Promise.all([deployment.routing(), deployment.polling()]);
    seen.known = routing?.builds.some((each) => each.buildId === buildId) === true;
    if (!seen.told && !(seen.known && polling.has(buildId))) {
      seen.told = true;
      options.say?.(`waits for workers of ${buildId}, up to ${String(Math.round(options.waitMs / 1_000))} s`);
    }
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
  return untilSettled(deployment, clock, text);
}

/** Settled = every task queue routes by the last change: whoever publishes after that meets it. */
async function untilSettled(deployment: WorkerDeployment, clock: Clock, text: string): Promise<Ended> {
  const heard = await untilAnswered({ waitMs: SETTLE_MS, clock }, async () =>
    (await deployment.routing())?.settled === false ? null : true,
  );
  return heard === null
    ? ended('not_yet', `${text}; not every task queue has heard of the last change yet`)
    : ended('done', text);
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

const unknownBuild = (buildId: string): Ended => ended('unknown_build', `Temporal knows no build ${buildId}`);
