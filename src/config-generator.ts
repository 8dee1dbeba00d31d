/** Who makes the content, and what that needs. */
import { type Reader } from './config-reader.ts';
import { NAMES } from './contract/names.ts';

export interface GeminiConfig {
  readonly kind: 'gemini';
  /** Null = Vertex with application default credentials. */
  readonly apiKey: string | null;
  /** Of Vertex. */
  readonly project: string;
  readonly location: string;
  readonly model: string;
  /** Null = Google's own. */
  readonly baseUrl: string | null;
  readonly temperature: number;
  readonly maxOutputTokens: number;
  /** From which probability of harm on an answer is blocked. */
  readonly safety: 'low' | 'medium' | 'high';
  /** US dollars per million tokens; null = cost unknown. */
  readonly inputPrice: number | null;
  readonly outputPrice: number | null;
  readonly maxResponseBytes: number;
}

export interface HttpGeneratorConfig {
  readonly kind: 'http';
  readonly url: string;
  readonly secretKey: string;
  readonly algorithm: (typeof ALGORITHMS)[number];
  readonly maxResponseBytes: number;
}

/** What the generator needs; only the chosen one's settings are required. */
export type GeneratorConfig = { readonly kind: 'template' } | GeminiConfig | HttpGeneratorConfig;

/** HMAC with a shared key, and the shortest key in bytes: https://www.rfc-editor.org/rfc/rfc7518#section-3.2. */
const ALGORITHMS = ['HS256', 'HS384', 'HS512'] as const;
const SHORTEST_KEY = { HS256: 32, HS384: 48, HS512: 64 } as const;

/** All settings are checked, also those of a generator that is not chosen: a typing slip is told before the switch. */
export function readGenerator(reader: Reader): GeneratorConfig {
  const kind = reader.choice('GENERATOR', ['template', 'gemini', 'http']) ?? 'template';
  const maxResponseBytes = reader.number('GENERATOR_MAX_RESPONSE_BYTES');
  const gemini = readGemini(reader, kind === 'gemini');
  const http = readHttp(reader, kind === 'http');
  if (kind === 'template') return { kind };
  return { ...(kind === 'gemini' ? gemini : http), maxResponseBytes };
}

/** `gemini-2.5-flash`; or a path that the API itself uses. Anything else would become part of another path. */
const MODEL_ID =
  /^(models\/|publishers\/[a-z0-9-]+\/models\/|projects\/[a-z0-9.:-]+\/locations\/[a-z0-9-]+\/(publishers\/[a-z0-9-]+\/models|models|endpoints)\/)?[a-z0-9][a-z0-9._@-]*$/i;

function readGemini(reader: Reader, chosen: boolean): Omit<GeminiConfig, 'maxResponseBytes'> {
  const apiKey = reader.text('GEMINI_API_KEY');
  const project = reader.resource('GOOGLE_CLOUD_PROJECT');
  const model = reader.text('GEMINI_MODEL');
  if (chosen && model === null) {
    reader.fault('GEMINI_MODEL', 'is not set, and models are retired too often for a default', 'set it to a model id');
  }
  if (model !== null && (!MODEL_ID.test(model) || model.includes('..'))) {
    reader.fault('GEMINI_MODEL', 'is no model id', 'give the id alone, such as gemini-2.5-flash');
  }
  if (apiKey !== null && !/^[\x21-\x7e]+$/.test(apiKey)) {
    reader.fault('GEMINI_API_KEY', 'holds characters that no key has', 'copy it once more, without spaces around it');
  }
  if (chosen && apiKey === null && project === null) {
    reader.fault(
      'GOOGLE_CLOUD_PROJECT',
      'is not set, and Vertex needs it',
      'set it, or set GEMINI_API_KEY to use the Gemini API instead',
    );
  }
  for (const name of ['GOOGLE_GEMINI_BASE_URL', 'GOOGLE_VERTEX_BASE_URL', 'GOOGLE_API_KEY']) {
    // The SDK reads them by itself: addresses that nobody here has looked at, and a key beside ours.
    if (chosen && reader.raw(name) !== undefined) {
      reader.fault(
        name,
        'is read by the SDK behind this configuration',
        `unset it, and use ${name.replace(/^GOOGLE_(GEMINI_|VERTEX_)?/, 'GEMINI_')}`,
      );
    }
  }
  const location = reader.text('GEMINI_LOCATION') ?? NAMES.region;
  if (!/^[a-z]+(-[a-z]+\d+)?$/.test(location)) {
    reader.fault('GEMINI_LOCATION', 'is no region', `set it to one such as ${NAMES.region}, or to global`);
  }
  const inputPrice = reader.optionalNumber('GEMINI_INPUT_PRICE');
  const outputPrice = reader.optionalNumber('GEMINI_OUTPUT_PRICE');
  reader.check(
    'GEMINI_INPUT_PRICE',
    ['GEMINI_OUTPUT_PRICE'],
    (inputPrice === null) === (outputPrice === null),
    'and GEMINI_OUTPUT_PRICE go together, and one is not set',
    'set both, or neither',
  );
  return {
    kind: 'gemini',
    apiKey,
    project: project ?? '',
    location,
    model: model ?? '',
    baseUrl: reader.providerUrl('GEMINI_BASE_URL', { query: false }),
    temperature: reader.number('GEMINI_TEMPERATURE'),
    maxOutputTokens: reader.number('GEMINI_MAX_OUTPUT_TOKENS'),
    safety: reader.choice('GEMINI_SAFETY', ['low', 'medium', 'high']) ?? 'medium',
    inputPrice,
    outputPrice,
  };
}

function readHttp(reader: Reader, chosen: boolean): Omit<HttpGeneratorConfig, 'maxResponseBytes'> {
  const url = reader.providerUrl('GENERATOR_URL', { query: true });
  const secretKey = reader.text('SECRET_KEY');
  const named = reader.text('ALGORITHM');
  const algorithm = ALGORITHMS.find((each) => each === named) ?? 'HS256';
  if (chosen) {
    if (url === null)
      reader.fault('GENERATOR_URL', 'is not set', 'set it to the provider, as in https://host/generate');
    if (named !== null && named !== algorithm) {
      reader.fault('ALGORITHM', 'is none that the provider contract knows', `set it to ${ALGORITHMS.join(', ')}`);
    }
    const shortest = SHORTEST_KEY[algorithm];
    if (secretKey === null) {
      reader.fault('SECRET_KEY', 'is not set, and calls of the provider are signed with it', 'openssl rand -hex 32');
    } else if (Buffer.byteLength(secretKey) < shortest) {
      const fix = `make a new one with: openssl rand -hex ${String(shortest)}`;
      reader.fault('SECRET_KEY', `is shorter than the ${String(shortest)} bytes that ${algorithm} needs`, fix);
    }
  }
  return {
    kind: 'http',
    url: url ?? '',
    secretKey: secretKey ?? '',
    algorithm,
  };
}
