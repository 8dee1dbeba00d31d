/**
 * The product's worker with a scripted generator (DEV_GENERATOR_SCRIPT, JSON) and fault points that can be armed
 * (DEV_FAULTS): for `npm start` and the tests only.
 */
import { runWorkerProcess } from '../worker/process.ts';
import { createGenerator } from '../generators/index.ts';
import { armFromEnv } from './faults.ts';
import { scriptedGenerator, type Script } from './scripted-generator.ts';

armFromEnv(process.env['DEV_FAULTS']);

const script = JSON.parse(process.env['DEV_GENERATOR_SCRIPT'] ?? '{}') as Script;

runWorkerProcess(process.env, (config) => scriptedGenerator(createGenerator(config.generator), script));
