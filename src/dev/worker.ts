/** The product's worker with a scripted generator (DEV_GENERATOR_SCRIPT, JSON): for `npm start` and the tests only. */
import { runWorkerProcess } from '../worker/process.ts';
import { createGenerator } from '../generators/index.ts';
import { scriptedGenerator, type Script } from './scripted-generator.ts';

const script = JSON.parse(process.env['DEV_GENERATOR_SCRIPT'] ?? '{}') as Script;

runWorkerProcess(process.env, (config) => scriptedGenerator(createGenerator(config.generator), script));
