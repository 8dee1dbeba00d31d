/** A content provider of the school's own, behind docs/content-provider.openapi.yaml. */
import type { HttpGeneratorConfig } from '../../config.ts';
import { contentHash } from '../../contract/content-hash.ts';
import type { ContentRequest } from '../../contract/request.ts';
import type { GenerationResult, Medium, Usage } from '../../contract/workflow-io.ts';
import { GeneratorError, HttpStatusError, type Generator, type MediumAnswer } from '../generator.ts';
import { createSend, isSuccess, retryAfterMs, type ProviderAnswer } from '../provider-http.ts';
import {
  Description,
  MediumAnswer as MediumBody,
  PendingAnswer,
  Problem,
  ScriptAnswer,
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
    name: `http ${new URL(config.url).host}`,
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
        return mediumOf(answer, config.url, null);
      },
      look: async (statusUrl, _, rowId, { signal }) => {
        const url = atProvider(statusUrl, config.url);
        const answer = await send(url, { method: 'GET', headers: await authorization(rowId), signal });
        if (answer.status === 404 || answer.status === 410) {
          // Counted, and asked for anew: a provider that lost it does not find it again.
          throw new GeneratorError('transient', 'medium_lost', `the provider does not know ${url.pathname} any more`);
        }
        if (!isSuccess(answer)) throw problemOf(answer);
        return mediumOf(answer, config.url, url);
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
    content_sha256: contentHash(request),
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

interface Schema<T> {
  safeParse(
    value: unknown,
  ): { success: true; data: T } | { success: false; error: { issues: { path: PropertyKey[] }[] } };
}

function parsed<T>(answer: ProviderAnswer, schema: Schema<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(answer.body);
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
  const said = [problem?.title, problem?.detail].filter((text) => typeof text === 'string' && text !== '').join(': ');
  const message = `HTTP ${String(answer.status)}: ${said === '' ? answer.body : said}`.slice(0, 500);
  const wait = retryAfterMs(answer);
  if (problem?.code === 'content_blocked' && answer.status >= 400 && answer.status < 500) {
    return new GeneratorError('permanent', 'content_blocked', message);
  }
  if (answer.status === 422) {
    const kind = problem?.retryable === true ? 'transient' : 'permanent';
    return new GeneratorError(kind, problem?.code ?? 'http_422', message);
  }
  // The attempt before, whose worker was lost, is still being worked on.
  if (answer.status === 409) {
    return new GeneratorError('unavailable', 'http_409', message, { retryAfterMs: wait ?? undefined });
  }
  return new HttpStatusError(answer.status, said === '' ? answer.body : said, wait);
}

function readProblem({ body }: ProviderAnswer): Problem | null {
  try {
    const result = Problem.safeParse(JSON.parse(body));
    return result.success ? result.data : null;
  } catch {
    return null;
  }
}

/** @param lookedAt where the answer came from, for a 202 that does not say where to look next. */
function mediumOf(answer: ProviderAnswer, base: string, lookedAt: URL | null): MediumAnswer {
  if (answer.status !== 202) {
    const { url, thumbnail_url: thumbnailUrl, usage } = parsed(answer, MediumBody);
    return { kind: 'made', made: { url, thumbnailUrl: thumbnailUrl ?? null, usage: usageOf(usage) } };
  }
  const { status_url: statusUrl, progress } = parsed(answer, PendingAnswer);
  const next = statusUrl ?? lookedAt?.href;
  if (next === undefined) {
    throw new GeneratorError('transient', 'bad_result', 'the answer (HTTP 202) breaks the contract at status_url');
  }
  return {
    kind: 'pending',
    statusUrl: atProvider(next, base).href,
    retryAfterMs: retryAfterMs(answer),
    progress: progress ?? 0,
  };
}

/** Looks are signed, so they go to the configured provider only, and reach nothing else of this network. */
function atProvider(statusUrl: string, base: string): URL {
  let url;
  try {
    url = new URL(statusUrl, base);
  } catch {
    throw new GeneratorError('transient', 'bad_result', 'status_url is no URL');
  }
  if (url.origin === new URL(base).origin && url.username === '' && url.password === '') return url;
  throw new GeneratorError('transient', 'bad_result', 'status_url is not at the origin of GENERATOR_URL');
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
