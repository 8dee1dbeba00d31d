/**
 * Names that code, terraform and docs share. Each stands here once (the original worker had five generations of
 * topic names and read a subscription that never existed).
 */
export const NAMES = {
  topic: 'content-generation-requests',
  subscription: 'content-generation-sub',
  deadLetterTopic: 'content-generation-dlq',
  deadLetterSubscription: 'content-generation-dlq-sub',
  job: 'dev-vividly-content-worker',
  project: 'vividly-dev-rich',
  region: 'us-central1',
  image: 'us-central1-docker.pkg.dev/vividly-dev-rich/vividly/content-worker',
  namespace: 'default',
  taskQueue: 'content-generation',
  deadLetterTaskQueue: 'content-dead-letter',
  /** What the worker is called: in its health answers, and as Temporal's worker deployment. */
  service: 'content-worker',
  database: 'vividly_dev',
  table: 'content_requests',
} as const;

/** Workflow types, as Temporal and the replay fixtures know them. Renaming one strands its open runs. */
export const WORKFLOW = {
  process: 'processContentRequest',
  deadLetter: 'forwardDeadLetter',
  reject: 'rejectContentRequest',
} as const;

/** Activities that the bridge tells a run's state by; their names are those of WorkerActivities. */
export const ACTIVITY = { record: 'recordRequest', fail: 'failRequest' } as const;

/** Search attributes, all of type Keyword. The namespace must know them before the first start. */
export const SEARCH_ATTRIBUTE = {
  correlationId: 'CorrelationId',
  organizationId: 'OrganizationId',
  environment: 'Environment',
} as const;

export const workflowId = {
  /** The run that owns a row. Held by valid messages only. */
  process: (rowId: string): string => `content-request/${rowId}`,
  deadLetter: (dlqId: string): string => `dead-letter/${dlqId}`,
  reject: (messageId: string): string => `content-rejection/${messageId}`,
};
