/** `npm run letters` with fault points that can be armed (DEV_FAULTS): for the tests only. */
import { runLettersProcess } from '../letters/process.ts';
import { armFromEnv } from './faults.ts';

armFromEnv(process.env['DEV_FAULTS']);
runLettersProcess(process.argv, process.env);
