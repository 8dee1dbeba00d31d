/** The product's bridge with fault points that can be armed (DEV_FAULTS): for the tests only. */
import { runBridgeProcess } from '../bridge/process.ts';
import { armFromEnv } from './faults.ts';

armFromEnv(process.env['DEV_FAULTS']);
runBridgeProcess(process.argv, process.env);
