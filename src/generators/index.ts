import type { Generator } from './generator.ts';
import { createTemplateGenerator } from './template.ts';

export { GeneratorError, type GenerationContext, type Generator } from './generator.ts';

export type GeneratorName = 'template';

const GENERATORS: Readonly<Record<GeneratorName, () => Generator>> = {
  template: createTemplateGenerator,
};

export function createGenerator(name: GeneratorName): Generator {
  return GENERATORS[name]();
}
