/** What the worker's bundle holds. An export's name is its workflow type: see contract/names.ts. */
export { forwardDeadLetter } from './forward-dead-letter.ts';
export { processContentRequest } from './process-content-request.ts';
export { rejectContentRequest } from './reject-content-request.ts';
