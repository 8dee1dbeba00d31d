/**
 * The REST surface of Gemini that the SDK uses, on this machine: generateContent and countTokens, as the Gemini API and
 * as Vertex have them. What it refuses by itself (no key, no such model) it refuses as Google's servers do.
 * https://ai.google.dev/api/generate-content, https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
 */
import { startScriptedServer, type Answer, type ScriptedServer, type Seen } from './scripted-server.ts';

export const MODEL = 'gemini-2.5-flash';
export const API_KEY = 'test-api-key';
export const ACCESS_TOKEN = 'test-access-token';

export interface GeminiServer extends ScriptedServer {
  /** By the topic that is in the prompt: one answer a call, the last one repeated. Without: a good lesson. */
  readonly steps: Map<string, readonly Answer[]>;
  /** What everything is answered with while it is set; for a retired model, a missing role. */
  override: Answer | null;
  /** Calls of generateContent for this topic. */
  calls(topic: string): number;
}

export interface GeminiBody {
  readonly systemInstruction: { readonly parts: readonly { readonly text: string }[] };
  readonly contents: readonly { readonly role: string; readonly parts: readonly { readonly text: string }[] }[];
  readonly generationConfig: Readonly<Record<string, unknown>>;
  readonly safetySettings: readonly { readonly category: string; readonly threshold: string }[];
}

export const bodyOf = (seen: Seen): GeminiBody => JSON.parse(seen.body) as GeminiBody;

const topicOf = (seen: Seen): string =>
  (JSON.parse(bodyOf(seen).contents[0]?.parts[0]?.text ?? '{}') as { topic?: string }).topic ?? '';

export async function startGeminiServer(): Promise<GeminiServer> {
  const steps = new Map<string, readonly Answer[]>();
  const calls = new Map<string, number>();
  const state: { override: Answer | null } = { override: null };
  const generate = (seen: Seen): Answer => {
    const topic = topicOf(seen);
    const call = calls.get(topic) ?? 0;
    calls.set(topic, call + 1);
    const script = steps.get(topic) ?? [];
    return script[Math.min(call, script.length - 1)] ?? good(topic);
  };
  const server = await startScriptedServer((seen) => {
    // google-auth-library's exchange of a workload identity for an access token.
    if (seen.path === '/token') {
      return {
        status: 200,
        body: {
          access_token: ACCESS_TOKEN,
          token_type: 'Bearer',
          expires_in: 3600,
          issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        },
      };
    }
    const route =
      /^\/(?:v1beta\/models|v1beta1\/projects\/[^/]+\/locations\/[^/]+\/publishers\/google\/models)\/([^/:]+):(generateContent|countTokens)$/.exec(
        seen.path,
      );
    if (route === null || seen.method !== 'POST') return { status: 404, body: 'not found' };
    if (seen.headers['x-goog-api-key'] !== API_KEY && seen.headers['authorization'] !== `Bearer ${ACCESS_TOKEN}`) {
      return googleError(401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.');
    }
    if (state.override !== null) return state.override;
    if (route[1] !== MODEL) return googleError(404, 'NOT_FOUND', `models/${String(route[1])} is not found`);
    return route[2] === 'countTokens' ? { status: 200, body: { totalTokens: 3 } } : generate(seen);
  });
  return {
    ...server,
    steps,
    calls: (topic: string) => calls.get(topic) ?? 0,
    get override() {
      return state.override;
    },
    set override(answer: Answer | null) {
      state.override = answer;
    },
  };
}

export function googleError(status: number, code: string, message: string, details: object[] = []): Answer {
  return { status, body: { error: { code: status, status: code, message, details } } };
}

export const USAGE = { promptTokenCount: 400, candidatesTokenCount: 900, thoughtsTokenCount: 100 };

export function lessonOf(topic: string): object {
  return {
    title: topic,
    objective: `Explain ${topic}.`,
    sections: [{ heading: 'The idea', text: `This is about ${topic}.` }],
    questions: ['What did you learn?'],
  };
}

export const good = (topic: string): Answer => answerWith(lessonOf(topic));

/** A 200 whose text is this lesson, or anything. */
export function answerWith(lesson: object | string, finishReason = 'STOP'): Answer {
  const text = typeof lesson === 'string' ? lesson : JSON.stringify(lesson);
  return {
    status: 200,
    body: {
      candidates: [{ content: { role: 'model', parts: [{ text }] }, finishReason }],
      usageMetadata: USAGE,
      modelVersion: MODEL,
    },
  };
}
