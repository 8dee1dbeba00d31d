/** `npm run letters`: what lies on the dead-letter topic; replayed when its cause is mended. Exit codes: exit.ts. */
import { runLettersProcess } from './process.ts';

// Else every client asks the metadata server for credentials that an emulator never reads.
if (process.env['PUBSUB_EMULATOR_HOST'] !== undefined) process.env['METADATA_SERVER_DETECTION'] ??= 'none';
runLettersProcess(process.argv, process.env);
