import type { Generator } from './generator.ts';
import { createTemplateGenerator } from './template.ts';

export { GeneratorError, type GenerationContext, type Generator } from './generator.ts';

export type GeneratorName = 'template';

export function createGenerator(name: GeneratorName): Generator {
  switch (name) {
    case 'template':
      return createTemplateGenerator();
    default:
      throw new Error(`no generator ${name satisfies never}`);
  }
}
