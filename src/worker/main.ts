/** `npm run worker`. */
import { createGenerator } from '../generators/index.ts';
import { runWorkerProcess } from './process.ts';

runWorkerProcess(process.env, (config) => createGenerator(config.generator));
