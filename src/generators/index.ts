import type { GeneratorConfig } from '../config.ts';
import { createGeminiGenerator } from './gemini/gemini.ts';
import type { Generator } from './generator.ts';
import { createHttpGenerator } from './http/http.ts';
import { createTemplateGenerator } from './template.ts';

export { GeneratorError, type GenerationContext, type Generator } from './generator.ts';

export function createGenerator(config: GeneratorConfig): Generator {
  switch (config.kind) {
    case 'template':
      return createTemplateGenerator();
    case 'gemini':
      return createGeminiGenerator(config);
    case 'http':
      return createHttpGenerator(config);
    default:
      return config satisfies never;
  }
}
