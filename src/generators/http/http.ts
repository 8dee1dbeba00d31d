/** A content provider of the school's own, behind docs/content-provider.openapi.yaml. */
import { createHash } from 'node:crypto';
import type { HttpGeneratorConfig } from '../../config.ts';
import { contentHash } from '../../contract/content-hash.ts';
import type { ContentRequest } from '../../contract/request.ts';
import type { GenerationResult, Medium, Usage } from '../../contract/workflow-io.ts';
import { GeneratorError, HttpStatusError, PROVIDER_MOVED, type Generator, type MediumAnswer } from '../generator.ts';
import { createSend, describeAnswer, isSuccess, retryAfterMs, type ProviderAnswer } from '../provider-http.ts';
import {
  Description,
  MediumAnswer as MediumBody,
  PendingAnswer,
  Problem,
  ScriptAnswer,
  TakenAnswer,
  type ProviderUsage,
} from './contract.ts';
import { tokenSigner } from './token.ts';

type Stage = 'script' | Medium;

export function createHttpGenerator(config: HttpGeneratorConfig): Generator {
  const send = createSend(config);
  const sign = tokenSigner(config);

  const authorization = async (subject: string): Promise<Record<string, string>> => ({
    authorization: `Bearer ${await sign(subject)}`,
    accept: 'application/json, application/problem+json',
  });
  const post = async (
    stage: Stage,
    request: ContentRequest,
    signal: AbortSignal,
    scriptText?: string,
  ): Promise<ProviderAnswer> => {
    const { rowId } = request;
    const answer = await send(config.url, {
      method: 'POST',
      headers: {
        ...(await authorization(rowId)),
        'content-type': 'application/json',
        // The same for every attempt, as is the body: asking again is not asking for more.
        'idempotency-key': stage === 'script' ? rowId : `${rowId}/${stage}`,
      },
      body: JSON.stringify(bodyOf(stage, request, scriptText)),
      signal,
    });
    if (!isSuccess(answer)) throw problemOf(answer);
    return answer;
  };

  return {
    name: `http (${new URL(config.url).origin})`,
    generate: async (request, { signal }) => {
      const answer = parsed(await post('script', request, signal), ScriptAnswer);
      return resultOf(request, answer);
    },
    check: async (signal) => {
      const answer = await send(config.url, { method: 'GET', headers: await authorization('check'), signal });
      if (!isSuccess(answer)) throw problemOf(answer);
      const { name } = parsed(answer, Description);
      return `${name} answers at ${new URL(config.url).host}`;
    },
    media: {
      start: async (medium, request, scriptText, { signal }) => {
        const answer = await post(medium, request, signal, scriptText);
        if (answer.status !== 202) return madeFrom(answer);
        const { status_url: statusUrl, progress } = parsed(answer, TakenAnswer);
        const url = atProvider(statusUrl, config.url);
        if (url === null) {
          throw new GeneratorError('transient', 'bad_result', 'status_url is not at the origin of GENERATOR_URL');
        }
        return pending(answer, url, progress);
      },
      look: async (statusUrl, _, rowId, { signal }) => {
        const url = atProvider(statusUrl, config.url);
        // It was taken by the provider that was configured before.
        if (url === null)
          throw new GeneratorError('unavailable', PROVIDER_MOVED, 'GENERATOR_URL has another origin now');
        const answer = await send(url, { method: 'GET', headers: await authorization(rowId), signal });
        if (answer.status === 404 || answer.status === 410) {
          // Counted, and asked for anew: a provider that lost it does not find it again.
          throw new GeneratorError('transient', 'medium_lost', `the provider does not know ${url.pathname} any more`);
        }
        if (!isSuccess(answer)) throw problemOf(answer);
        return answer.status === 202 ? pending(answer, url, parsed(answer, PendingAnswer).progress) : madeFrom(answer);
      },
    },
  };
}

/** Not in it: who the student is, and the attempt, which would make every try another request. */
function bodyOf(stage: Stage, request: ContentRequest, scriptText: string | undefined): object {
  return {
    stage,
    request_id: request.rowId,
    // A failed row may be taken over with other content: key and hash together name what is asked for.
    content_sha256: nameOf(request, scriptText),
    topic: request.topic,
    grade_level: request.gradeLevel,
    learning_objective: request.learningObjective,
    interest: request.interest,
    duration_minutes: request.durationMinutes,
    requested_modalities: request.requestedModalities,
    preferred_modality: request.preferredModality,
    ...(scriptText === undefined ? {} : { script_text: scriptText }),
  };
}

/**
 * What is asked for, beside the key. A script that is made again, by a run that took over or was reset, is another one: a
 * provider that answered with the medium of the first would be right by its key.
 */
function nameOf(request: ContentRequest, scriptText: string | undefined): string {
  const ofRequest = contentHash(request);
  return scriptText === undefined
    ? ofRequest
    : createHash('sha256').update(`${ofRequest}\n${scriptText}`, 'utf8').digest('hex');
}

interface Schema<T> {
  safeParse(
    value: unknown,
  ): { success: true; data: T } | { success: false; error: { issues: { path: PropertyKey[] }[] } };
}

function parsed<T>(answer: ProviderAnswer, schema: Schema<T>): T {
  let value: unknown;
  try {
    // A byte order mark is no JSON, and some frameworks write one.
    value = JSON.parse(answer.body.replace(/^\u{feff}/u, ''));
  } catch {
    throw new GeneratorError('transient', 'bad_result', `the answer (HTTP ${String(answer.status)}) is no JSON`);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const fields = result.error.issues.map(({ path }) => path.map(String).join('.') || 'answer').join(', ');
  throw new GeneratorError('transient', 'bad_result', `the answer breaks the contract at ${fields}`);
}

function problemOf(answer: ProviderAnswer): Error {
  const problem = readProblem(answer);
  const statement = [problem?.title, problem?.detail]
    .filter((text) => typeof text === 'string' && text !== '')
    .join(': ');
  const said = statement === '' ? describeAnswer(answer) : statement;
  const { status } = answer;
  const wait = retryAfterMs(answer);
  const error = new HttpStatusError(status, said, wait);
  const { message } = error;
  if (problem?.code === 'content_blocked' && status >= 400 && status < 500) {
    return new GeneratorError('permanent', 'content_blocked', message);
  }
  if (status === 422) {
    const kind = problem?.retryable === true ? 'transient' : 'permanent';
    return new GeneratorError(kind, problem?.code ?? 'http_422', message);
  }
  // The attempt before, whose worker was lost, is still being worked on.
  if (status === 409)
    return new GeneratorError('unavailable', 'http_409', message, { retryAfterMs: wait ?? undefined });
  return error;
}

function readProblem({ body }: ProviderAnswer): Problem | null {
  try {
    const result = Problem.safeParse(JSON.parse(body));
    return result.success ? result.data : null;
  } catch {
    return null;
  }
}

function madeFrom(answer: ProviderAnswer): MediumAnswer {
  const { url, thumbnail_url: thumbnailUrl, usage } = parsed(answer, MediumBody);
  return { kind: 'made', made: { url, thumbnailUrl: thumbnailUrl ?? null, usage: usageOf(usage) } };
}

function pending(answer: ProviderAnswer, url: URL, progress: number | null | undefined): MediumAnswer {
  return { kind: 'pending', statusUrl: url.href, retryAfterMs: retryAfterMs(answer), progress: progress ?? 0 };
}

/** Looks are signed, so they go to the configured provider only, and reach nothing else of this network. Null = elsewhere. */
function atProvider(statusUrl: string, base: string): URL | null {
  try {
    const url = new URL(statusUrl, base);
    const { protocol, origin } = new URL(base);
    // blob: has the origin of what is inside it.
    const same = url.protocol === protocol && url.origin === origin;
    return same && url.username === '' && url.password === '' ? url : null;
  } catch {
    return null;
  }
}

function usageOf(usage: ProviderUsage | null | undefined): Usage {
  return {
    provider: 'http',
    model: usage?.model ?? null,
    inputTokens: usage?.input_tokens ?? null,
    outputTokens: usage?.output_tokens ?? null,
    costUsd: usage?.cost_usd ?? null,
    promptVersion: usage?.prompt_version ?? null,
  };
}

function resultOf(request: ContentRequest, answer: ScriptAnswer): GenerationResult {
  const asked = request.requestedModalities;
  const audioUrl = asked.includes('audio') ? (answer.media?.audio_url ?? null) : null;
  const videoUrl = asked.includes('video') ? (answer.media?.video_url ?? null) : null;
  return {
    scriptText: answer.script_text,
    media: {
      videoUrl,
      thumbnailUrl: videoUrl === null ? null : (answer.media?.thumbnail_url ?? null),
      ...(audioUrl === null ? {} : { audioUrl }),
    },
    usage: usageOf(answer.usage),
    delivered: [
      ...(asked.includes('text') ? ['text'] : []),
      ...(audioUrl === null ? [] : ['audio']),
      ...(videoUrl === null ? [] : ['video']),
    ],
    offers: answer.offers ?? [],
  };
}
