/** How a run is started and what operators see of it in the Temporal UI. Pure. */
import type { WorkflowOptions } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType, type SearchAttributePair } from '@temporalio/common';
import { cutToBytes } from '../contract/dead-letter.ts';
import { SEARCH_ATTRIBUTE, workflowId } from '../contract/names.ts';
import type { ProcessInput, ProcessMemo, RejectInput } from '../contract/workflow-io.ts';

export interface RunOptions<Input> extends WorkflowOptions {
  args: [Input];
}

/** Temporal refuses summaries over 400 bytes by default; 200 fit a line of its list. */
const SUMMARY_BYTES = 200;

const KEY = {
  correlationId: defineSearchAttributeKey(SEARCH_ATTRIBUTE.correlationId, SearchAttributeType.KEYWORD),
  organizationId: defineSearchAttributeKey(SEARCH_ATTRIBUTE.organizationId, SearchAttributeType.KEYWORD),
  environment: defineSearchAttributeKey(SEARCH_ATTRIBUTE.environment, SearchAttributeType.KEYWORD),
};

/** Where runs are put, and where what they log can be read. */
export interface RunPlace {
  readonly taskQueue: string;
  /** Project of the logs; null = no Cloud Logging to link to. */
  readonly logsProject: string | null;
}

/** @param which `first` is refused where there is, or was, another run of this row; `next` only beside one that has not failed. */
export function processOptions(
  input: ProcessInput,
  place: RunPlace,
  which: 'first' | 'next',
): RunOptions<ProcessInput> {
  const { request, source } = input;
  const memo: ProcessMemo = {
    contentHash: input.contentHash,
    messageId: source.messageId,
    ...(which === 'first' ? { first: true } : {}),
  };
  const attributes: SearchAttributePair[] = [{ key: KEY.correlationId, value: request.correlationId }];
  if (request.organizationId !== null) attributes.push({ key: KEY.organizationId, value: request.organizationId });
  if (request.environment !== null) attributes.push({ key: KEY.environment, value: request.environment });
  return {
    workflowId: workflowId.process(request.rowId),
    taskQueue: place.taskQueue,
    // A run that failed may be followed by another; a running or completed one is a duplicate, told by its memo.
    workflowIdReusePolicy: which === 'first' ? 'REJECT_DUPLICATE' : 'ALLOW_DUPLICATE_FAILED_ONLY',
    workflowIdConflictPolicy: 'FAIL',
    args: [input],
    memo: { ...memo },
    typedSearchAttributes: attributes,
    staticSummary: summaryLine(request.topic, request.gradeLevel),
    staticDetails: [
      `row id: ${asText(request.rowId)}`,
      `correlation id: ${asText(request.correlationId)}`,
      `organization: ${asText(request.organizationId ?? '–')}`,
      `Pub/Sub message: ${asText(source.messageId)}, published ${asText(source.publishTime)}`,
      ...logsLink(place, `jsonPayload.correlation_id=${JSON.stringify(request.correlationId)}`),
    ].join('  \n'),
  };
}

export function rejectOptions(
  input: RejectInput,
  correlationId: string | null,
  place: RunPlace,
): RunOptions<RejectInput> {
  return {
    workflowId: workflowId.reject(input.messageId),
    taskQueue: place.taskQueue,
    workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
    workflowIdConflictPolicy: 'FAIL',
    args: [input],
    ...(correlationId === null ? {} : { typedSearchAttributes: [{ key: KEY.correlationId, value: correlationId }] }),
    staticSummary: `rejected: ${input.code}`,
    staticDetails: [
      `Pub/Sub message: ${asText(input.messageId)}`,
      asText(cutToBytes(input.detail, 4_000)),
      ...logsLink(place, `jsonPayload.messageId=${JSON.stringify(input.messageId)}`),
    ].join('  \n'),
  };
}

/** Every line about the request, in bridge and worker alike. */
function logsLink({ logsProject }: RunPlace, query: string): string[] {
  if (logsProject === null) return [];
  // encodeURIComponent leaves ( ) as they are, and they would end a Markdown link.
  const encode = (text: string): string =>
    encodeURIComponent(text).replace(/[()']/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);
  return [
    `[logs](https://console.cloud.google.com/logs/query;query=${encode(query)}?project=${encodeURIComponent(logsProject)})`,
  ];
}

export function summaryLine(topic: string, gradeLevel: string | null): string {
  const line = asText(gradeLevel === null ? topic : `${topic} · ${gradeLevel}`);
  // A cut must not leave half of an escape behind.
  return line.length === 0 ? '–' : cutToBytes(line, SUMMARY_BYTES).replace(/(?<!\\)(\\\\)*\\$/, '$1');
}

/**
 * Students' text as text: the UI renders Temporal markdown, so a topic could otherwise bring links and images of its
 * own into an operator's browser. Line breaks and control characters become spaces.
 */
function asText(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
    .replace(/[\\`[\]<>]/g, '\\$&');
}
