/** Gemini, by Google's own SDK: on Vertex with application default credentials, or on the Gemini API with a key. */
import { GoogleGenAI, HarmBlockThreshold, HarmCategory, type GenerateContentParameters } from '@google/genai';
import type { AuthClient } from 'google-auth-library';
import type { GeminiConfig } from '../../config.ts';
import type { ContentRequest } from '../../contract/request.ts';
import type { GenerationResult, Usage } from '../../contract/workflow-io.ts';
import { GeneratorError, type Generator } from '../generator.ts';
import { LESSON_SCRIPT_SYSTEM, LESSON_SCRIPT_VERSION, lessonScriptInput } from '../prompts/lesson-script.ts';
import { createSend, isSuccess, type Send } from '../provider-http.ts';
import { scriptFrom } from './answer.ts';
import { applicationDefaultCredentials } from './credentials.ts';
import { LESSON_SCHEMA } from './lesson.ts';
import { errorOf } from './rest-errors.ts';

/** The four that the API lets one set; newer models block nothing unless told to, and the readers are minors. */
const HARMS = [
  HarmCategory.HARM_CATEGORY_HARASSMENT,
  HarmCategory.HARM_CATEGORY_HATE_SPEECH,
  HarmCategory.HARM_CATEGORY_SEXUALLY_EXPLICIT,
  HarmCategory.HARM_CATEGORY_DANGEROUS_CONTENT,
];
const THRESHOLDS = {
  low: HarmBlockThreshold.BLOCK_LOW_AND_ABOVE,
  medium: HarmBlockThreshold.BLOCK_MEDIUM_AND_ABOVE,
  high: HarmBlockThreshold.BLOCK_ONLY_HIGH,
} as const;

export function createGeminiGenerator(config: GeminiConfig): Generator {
  const connect = connector(config);
  const where = config.apiKey === null ? `Vertex, ${config.project}, ${config.location}` : 'the Gemini API';
  return {
    name: `gemini ${config.model}`,
    generate: async (request, { signal }) => {
      const client = await connect(signal);
      const response = await answered(client.models.generateContent(parameters(config, request, signal)));
      const usage = usageOf(config, response.usageMetadata);
      return resultOf(request, scriptFrom(response, usage), usage);
    },
    check: async (signal) => {
      const client = await connect(signal);
      // Free, and by the same permission as a generation, aiplatform.endpoints.predict:
      // https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/projects.locations.endpoints/countTokens
      await answered(
        client.models.countTokens({ model: config.model, contents: 'ready?', config: { abortSignal: signal } }),
      );
      return `${config.model} answers on ${where}`;
    },
  };
}

function connector(config: GeminiConfig): (signal: AbortSignal) => Promise<GoogleGenAI> {
  const httpOptions = {
    fetch: fetchBy(createSend(config), config.apiKey),
    ...(config.baseUrl === null ? {} : { baseUrl: config.baseUrl }),
  };
  if (config.apiKey !== null) {
    const client = new GoogleGenAI({ vertexai: false, apiKey: config.apiKey, httpOptions });
    return () => Promise.resolve(client);
  }
  const { project, location } = config;
  const credentials = applicationDefaultCredentials(project);
  let last: { readonly authClient: AuthClient; readonly client: GoogleGenAI } | undefined;
  return async (signal) => {
    // Each time: the token may have to be renewed, and its failure must not look like the model's.
    const authClient = await credentials(signal);
    if (last?.authClient !== authClient) {
      const googleAuthOptions = { authClient };
      last = {
        authClient,
        client: new GoogleGenAI({ vertexai: true, project, location, googleAuthOptions, httpOptions }),
      };
    }
    return last.client;
  };
}

/** The SDK's own errors lose the headers, and with them Retry-After. It retries nothing unless told to. */
function fetchBy(send: Send, apiKey: string | null): typeof fetch {
  return async (input, init) => {
    const { method, body, signal } = init ?? {};
    if (body !== undefined && body !== null && typeof body !== 'string') throw new TypeError('a body that is no text');
    const answer = await send(input instanceof Request ? input.url : input, {
      method: method === 'GET' ? 'GET' : 'POST',
      headers: Object.fromEntries(new Headers(init?.headers)),
      signal: signal ?? new AbortController().signal,
      ...(typeof body === 'string' ? { body } : {}),
    });
    if (!isSuccess(answer)) throw errorOf(answer, apiKey);
    // 204 and 205 must have no body, and an empty one is no lesson.
    if (answer.body === '') throw new GeneratorError('transient', 'bad_result', 'the answer is empty');
    return new Response(answer.body, {
      status: 200,
      headers: { 'content-type': String(answer.headers['content-type'] ?? '') },
    });
  };
}

async function answered<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    // Thrown by the SDK for a success whose body is no JSON.
    if (error instanceof SyntaxError) throw new GeneratorError('transient', 'bad_result', 'the answer is no JSON');
    throw error;
  }
}

function parameters(config: GeminiConfig, request: ContentRequest, signal: AbortSignal): GenerateContentParameters {
  return {
    model: config.model,
    contents: [{ role: 'user', parts: [{ text: lessonScriptInput(request) }] }],
    config: {
      systemInstruction: LESSON_SCRIPT_SYSTEM,
      temperature: config.temperature,
      maxOutputTokens: config.maxOutputTokens,
      responseMimeType: 'application/json',
      responseJsonSchema: LESSON_SCHEMA,
      safetySettings: HARMS.map((category) => ({ category, threshold: THRESHOLDS[config.safety] })),
      abortSignal: signal,
    },
  };
}

interface TokenCounts {
  readonly promptTokenCount?: number;
  readonly candidatesTokenCount?: number;
  readonly thoughtsTokenCount?: number;
}

/** What a model thinks is billed as output: https://ai.google.dev/gemini-api/docs/thinking#pricing. */
function usageOf(config: GeminiConfig, counts: TokenCounts | undefined): Usage {
  const inputTokens = counts?.promptTokenCount ?? null;
  const outputTokens =
    counts?.candidatesTokenCount === undefined && counts?.thoughtsTokenCount === undefined
      ? null
      : (counts.candidatesTokenCount ?? 0) + (counts.thoughtsTokenCount ?? 0);
  const { inputPrice, outputPrice } = config;
  const known = inputTokens !== null && inputPrice !== null && outputPrice !== null;
  return {
    provider: 'gemini',
    model: config.model,
    inputTokens,
    outputTokens,
    costUsd: known ? (inputTokens * inputPrice + (outputTokens ?? 0) * outputPrice) / 1e6 : null,
    promptVersion: LESSON_SCRIPT_VERSION,
  };
}

function resultOf(request: ContentRequest, scriptText: string, usage: Usage): GenerationResult {
  return {
    scriptText,
    media: { videoUrl: null, thumbnailUrl: null },
    usage,
    delivered: request.requestedModalities.includes('text') ? ['text'] : [],
  };
}
