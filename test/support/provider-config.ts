/** What a worker would be configured with to ask the servers of these tests. */
import type { GeminiConfig, HttpGeneratorConfig } from '../../src/config.ts';
import { API_KEY, MODEL } from './gemini-server.ts';

export function geminiConfig(baseUrl: string, more: Partial<GeminiConfig> = {}): GeminiConfig {
  return {
    kind: 'gemini',
    apiKey: API_KEY,
    project: '',
    location: 'us-central1',
    model: MODEL,
    baseUrl,
    temperature: 0.7,
    maxOutputTokens: 8_192,
    safety: 'medium',
    inputPrice: 0.3,
    outputPrice: 2.5,
    maxResponseBytes: 100_000,
    ...more,
  };
}

/** 32 bytes, as HS256 wants them. */
export const SECRET_KEY = 'k'.repeat(32);

export function httpConfig(url: string, more: Partial<HttpGeneratorConfig> = {}): HttpGeneratorConfig {
  return { kind: 'http', url, secretKey: SECRET_KEY, algorithm: 'HS256', maxResponseBytes: 100_000, ...more };
}
