/** A provider that speaks docs/content-provider.openapi.yaml, scripted by request and stage. */
import type { HttpGeneratorConfig } from '../../src/config.ts';
import { httpConfig } from './provider-config.ts';
import { startScriptedServer, type Answer } from './scripted-server.ts';

export type Stage = 'script' | 'audio' | 'video';

/** Whose calls are meant; a run's input is one. */
export interface Requested {
  readonly request: { readonly rowId: string };
}

export interface Asked {
  readonly stage: Stage;
  readonly request_id: string;
  readonly topic: string;
  readonly script_text?: string;
}

/** A POST as it came: what a provider tells a second try of the same by. */
export interface Call {
  readonly key: string;
  readonly body: string;
}

export interface Looks {
  readonly count: number;
  /** Date.now() of each. */
  readonly times: readonly number[];
  /** From now on every look is answered with this. */
  answer(answer: Answer): void;
}

export interface MediaProvider {
  readonly config: HttpGeneratorConfig;
  readonly aScript: Answer;
  /** One answer a POST, the last one repeated. A 202 without status_url gets one. Without a script: made at once. */
  script(input: Requested, stage: Stage, answers: readonly Answer[]): void;
  /** One answer a look, the last one repeated. */
  looks(input: Requested, stage: Stage, answers: readonly Answer[]): Looks;
  asked(input: Requested): readonly Asked[];
  calls(input: Requested): readonly Call[];
  stages(input: Requested): readonly Stage[];
  /** Date.now() of each POST. */
  times(input: Requested, stage: Stage): readonly number[];
  stop(): Promise<void>;
}

export async function startMediaProvider(): Promise<MediaProvider> {
  const answers = new Map<string, readonly Answer[]>();
  const asked: (Asked & { readonly at: number; readonly call: Call })[] = [];
  const looked = new Map<string, number[]>();
  const scripted = (key: string, call: number): Answer | undefined => {
    const script = answers.get(key) ?? [];
    return script[Math.min(call, script.length - 1)];
  };
  const server = await startScriptedServer(({ method, path, headers, body }) => {
    if (method === 'GET' && path === '/generate') return { status: 200, body: { name: 'scripted' } };
    if (method === 'GET') {
      const times = looked.get(path) ?? [];
      looked.set(path, [...times, Date.now()]);
      return scripted(path, times.length) ?? { status: 404 };
    }
    const one = JSON.parse(body) as Asked;
    const before = asked.filter(({ request_id: id, stage }) => id === one.request_id && stage === one.stage).length;
    asked.push({ ...one, at: Date.now(), call: { key: String(headers['idempotency-key']), body } });
    const answer = scripted(`${one.request_id}/${one.stage}`, before) ?? atOnce(one);
    if (!('status' in answer) || answer.status !== 202) return answer;
    return {
      headers: { 'retry-after': '1' },
      ...answer,
      body: { status_url: `/jobs/${one.request_id}/${one.stage}`, ...(answer.body as object) },
    };
  });
  const of = (input: Requested): typeof asked => asked.filter(({ request_id: id }) => id === input.request.rowId);
  return {
    config: httpConfig(`${server.url}/generate`),
    aScript: atOnce({ stage: 'script', request_id: '', topic: 'Volcanoes' }),
    script: (input, stage, script) => void answers.set(`${input.request.rowId}/${stage}`, script),
    looks: (input, stage, script) => {
      const path = `/jobs/${input.request.rowId}/${stage}`;
      answers.set(path, script);
      return {
        get count() {
          return looked.get(path)?.length ?? 0;
        },
        get times() {
          return looked.get(path) ?? [];
        },
        answer: (answer) => void answers.set(path, [answer]),
      };
    },
    asked: of,
    calls: (input) => of(input).map(({ call }) => call),
    stages: (input) => of(input).map(({ stage }) => stage),
    times: (input, stage) => of(input).flatMap((one) => (one.stage === stage ? [one.at] : [])),
    stop: () => server.stop(),
  };
}

function atOnce({ stage, topic }: Pick<Asked, 'stage' | 'topic' | 'request_id'>): Answer {
  if (stage === 'script') {
    return { status: 200, body: { script_text: `A lesson on ${topic}.`, offers: ['audio', 'video'] } };
  }
  const url = `https://cdn.example/${stage}`;
  return { status: 200, body: { url, thumbnail_url: stage === 'video' ? `${url}.jpg` : null, usage: { model: 'm' } } };
}
