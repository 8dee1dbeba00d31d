/** `npm run bridge`: drain, then exit. */
import { runBridgeProcess } from './process.ts';

runBridgeProcess(process.argv, process.env);
