/** Every environment variable as data: config.ts reads it, a test prints the docs' table from it. */
import { NAMES } from './contract/names.ts';
import { DEFAULT_RETRY_POLICY } from './contract/retry-policy.ts';
import { PUBLISH_LETTER_LIMIT_MS } from './contract/workflow-io.ts';

export type ProcessName = 'bridge' | 'worker' | 'migrate' | 'rollout' | 'smoke' | 'letters';

interface Described {
  readonly name: string;
  readonly usedBy: readonly ProcessName[];
  /** Why it is there, and why the default is what it is. */
  readonly why: string;
}

/** `default: null` = optional; no `default` at all = required by the processes in `requiredBy`. */
export type Setting = Described &
  (
    | {
        readonly kind: 'integer';
        readonly default: number | null;
        readonly min: number;
        readonly max: number;
        readonly unit: string;
      }
    | {
        readonly kind: 'number';
        readonly default: number | null;
        readonly min: number;
        readonly max: number;
        readonly unit: string;
      }
    | { readonly kind: 'boolean'; readonly default: boolean }
    | { readonly kind: 'choice'; readonly default: string | null; readonly values: readonly string[] }
    | { readonly kind: 'text'; readonly default: string | null; readonly secret?: true }
    | { readonly kind: 'resource'; readonly requiredBy: readonly ProcessName[]; readonly fix: string }
    | { readonly kind: 'url'; readonly requiredBy: readonly ProcessName[]; readonly fix: string; readonly secret: true }
  );

const B = ['bridge'] as const;
const W = ['worker'] as const;
const D = ['worker', 'migrate'] as const;
const DS = ['worker', 'migrate', 'smoke'] as const;
const BW = ['bridge', 'worker'] as const;
const ALL = ['bridge', 'worker', 'migrate'] as const;
const T = ['bridge', 'worker', 'rollout', 'smoke'] as const;
const BL = ['bridge', 'letters'] as const;
const BSL = ['bridge', 'smoke', 'letters'] as const;
const HOUR_MS = 3_600_000;
const RETRY = DEFAULT_RETRY_POLICY;

// One row a setting reads best as a table.
// prettier-ignore
export const SETTINGS = [
  { name: 'DATABASE_URL', kind: 'url', usedBy: DS, requiredBy: D, secret: true, fix: 'postgresql://USER:PASSWORD@HOST:5432/DATABASE, or with a socket postgresql://USER:PASSWORD@/DATABASE?host=/cloudsql/INSTANCE', why: 'PostgreSQL. Percent-encode what is special in the password. The bridge never needs it. Off this machine TLS with certificate and host name verified, unless sslmode says otherwise; PGSSLMODE is not read. sslmode=verify-ca with sslrootcert for Cloud SQL by private IP (docs/security.md). A transaction pooler will do for the worker (PgBouncer: ignore_startup_parameters = options, statement_timeout, idle_in_transaction_session_timeout, and the role set to time zone UTC); migrate needs the server itself or a session pooler. The smoke test can do without.' },
  { name: 'DATABASE_POOL_SIZE', kind: 'integer', usedBy: W, default: 10, min: 1, max: 100, unit: 'connections', why: 'A row write takes milliseconds, so half as many connections as activity slots keep up.' },
  { name: 'DATABASE_CONNECT_TIMEOUT_MS', kind: 'integer', usedBy: DS, default: 5_000, min: 100, max: 60_000, unit: 'ms', why: 'A dead host must become a retry, not a hang.' },
  { name: 'DATABASE_STATEMENT_TIMEOUT_MS', kind: 'integer', usedBy: W, default: 10_000, min: 100, max: 600_000, unit: 'ms', why: 'Every statement of the worker uses an index; ten seconds means a lock or an outage. Not for migrate: an index is built for as long as it takes.' },
  { name: 'MIGRATE_GRANT_TO', kind: 'text', usedBy: ['migrate'], default: null, why: 'The worker\'s database user, where it is another one than migrate\'s: it is granted what the worker\'s statements need, after each migration. It must exist. Unset = one user for both.' },

  { name: 'GOOGLE_CLOUD_PROJECT', kind: 'resource', usedBy: ['bridge', 'worker', 'migrate', 'smoke', 'letters'], requiredBy: BSL, fix: NAMES.project, why: 'Project of topics and subscriptions; elsewhere only for trace links in logs.' },
  { name: 'PUBSUB_TOPIC', kind: 'resource', usedBy: BSL, requiredBy: BSL, fix: NAMES.topic, why: 'No default: a default once hid that the subscription did not exist.' },
  { name: 'PUBSUB_SUBSCRIPTION', kind: 'resource', usedBy: B, requiredBy: B, fix: NAMES.subscription, why: 'Where requests are pulled from.' },
  { name: 'PUBSUB_DLQ_TOPIC', kind: 'resource', usedBy: B, requiredBy: B, fix: NAMES.deadLetterTopic, why: 'Where dead letters are published.' },
  { name: 'PUBSUB_DLQ_SUBSCRIPTION', kind: 'resource', usedBy: BL, requiredBy: BL, fix: NAMES.deadLetterSubscription, why: 'Keeps the dead letters: a topic without a subscription drops them, so the preflight looks for it.' },
  { name: 'PUBSUB_EMULATOR_HOST', kind: 'text', usedBy: BSL, default: null, why: 'host:port of an emulator, as Google\'s clients read it. Never set it in production.' },

  { name: 'TEMPORAL_ADDRESS', kind: 'text', usedBy: T, default: 'localhost:7233', why: 'host:port, as in the Temporal CLI and its config file. All TEMPORAL_* of @temporalio/envconfig work (API key, TLS, profile). Off this machine TLS, unless TEMPORAL_TLS=false.' },
  { name: 'TEMPORAL_NAMESPACE', kind: 'text', usedBy: T, default: NAMES.namespace, why: 'The namespace of the runs.' },
  { name: 'TEMPORAL_API_KEY', kind: 'text', usedBy: T, default: null, secret: true, why: 'Temporal Cloud; turns TLS on.' },
  { name: 'TEMPORAL_TASK_QUEUE', kind: 'text', usedBy: T, default: NAMES.taskQueue, why: 'Bridge and worker must agree; envconfig does not read it.' },

  { name: 'BRIDGE_CONCURRENCY', kind: 'integer', usedBy: B, default: 32, min: 1, max: 1_000, unit: 'messages', why: 'Messages in hand at once, and so the most that a pull asks for.' },
  { name: 'BRIDGE_PULL_TIMEOUT_MS', kind: 'integer', usedBy: B, default: 10_000, min: 100, max: 90_000, unit: 'ms', why: 'One long poll. The server answers empty polls after some seconds of its own.' },
  { name: 'BRIDGE_ACK_DEADLINE_SECONDS', kind: 'integer', usedBy: B, default: 30, min: 10, max: 600, unit: 's', why: 'The lease asked for at each renewal, the same as the subscription\'s own: what a crash delays a message by. 10..600 are Pub/Sub\'s bounds.' },
  { name: 'BRIDGE_LEASE_RENEW_MS', kind: 'integer', usedBy: B, default: 10_000, min: 100, max: 300_000, unit: 'ms', why: 'A third of the lease: two renewals may be lost. At most half of it, so that one may.' },
  { name: 'BRIDGE_IDLE_WINDOW_MS', kind: 'integer', usedBy: B, default: 30_000, min: 100, max: HOUR_MS, unit: 'ms', why: 'How long both queues stay silent before a drain ends; three polls of the default length.' },
  { name: 'BRIDGE_MAX_RUNTIME_MS', kind: 'integer', usedBy: B, default: 540_000, min: 1_000, max: 168 * HOUR_MS, unit: 'ms', why: 'The job\'s task timeout of 10 min less 60 s, so that the platform never has to kill it. Raise both together. With --follow there is no limit.' },
  { name: 'BRIDGE_MAX_MESSAGES', kind: 'integer', usedBy: B, default: 0, min: 0, max: 1_000_000_000, unit: 'messages', why: '0 = no limit. For a first careful run.' },
  { name: 'BRIDGE_START_DEADLINE_MS', kind: 'integer', usedBy: B, default: 10_000, min: 100, max: 120_000, unit: 'ms', why: 'One call to Temporal; without a deadline a blackholed address hangs. At most the lease.' },
  { name: 'BRIDGE_PUBLISH_DEADLINE_MS', kind: 'integer', usedBy: B, default: 15_000, min: 100, max: PUBLISH_LETTER_LIMIT_MS - 10_000, unit: 'ms', why: 'One publish of a dead letter, the client\'s own retries included. Ten seconds below the limit of the activity that publishes: beyond it, Temporal would try again while the first try still publishes.' },
  { name: 'BRIDGE_OUTAGE_LIMIT_MS', kind: 'integer', usedBy: B, default: 90_000, min: 100, max: HOUR_MS, unit: 'ms', why: 'Bears a restart of Temporal; after that the next scheduled run is the retry.' },
  { name: 'BRIDGE_BREAKER_THRESHOLD', kind: 'integer', usedBy: B, default: 5, min: 1, max: 100, unit: 'errors', why: 'Outage errors in a row before pulling stops. At most BRIDGE_CONCURRENCY, or 10: a drain leaves an outage only after that, with exit 3 or 4.' },
  { name: 'BRIDGE_SHUTDOWN_MS', kind: 'integer', usedBy: B, default: 8_000, min: 100, max: 9_500, unit: 'ms', why: 'Cloud Run kills 10 s after SIGTERM.' },
  { name: 'BRIDGE_REJECT_STOP', kind: 'boolean', usedBy: B, default: false, why: 'Stop at the rejection alarm. Off: healthy messages go on.' },
  { name: 'BRIDGE_REJECT_ALARM_COUNT', kind: 'integer', usedBy: B, default: 20, min: 1, max: 100, unit: 'messages of the last 100', why: 'With the ratio: more likely a changed schema than bad messages.' },
  { name: 'BRIDGE_REJECT_ALARM_RATIO', kind: 'number', usedBy: B, default: 0.2, min: 0, max: 1, unit: 'of the last 100', why: 'As above; the alarm needs both.' },
  { name: 'BRIDGE_OPEN_TOO_LONG_MS', kind: 'integer', usedBy: B, default: 4 * HOUR_MS, min: 1_000, max: 168 * HOUR_MS, unit: 'ms', why: 'A run that is open for longer is told of in a line that an alert reads (runs_open_too_long). By the defaults a script ends within 1 h 20 min, an hour of an absent provider included, and one video that fails all five times after 2.5 h more.' },

  { name: 'RETRY_MAX_ATTEMPTS', kind: 'integer', usedBy: B, default: RETRY.maxAttempts, min: 1, max: 100, unit: 'attempts', why: 'Counted attempts of a generation, the first included. RETRY_* are fixed in a run when the bridge starts it.' },
  { name: 'RETRY_FIRST_WAIT_MS', kind: 'integer', usedBy: B, default: RETRY.firstWaitMs, min: 1, max: 24 * HOUR_MS, unit: 'ms', why: 'The wait after the first failure.' },
  { name: 'RETRY_FACTOR', kind: 'number', usedBy: B, default: RETRY.factor, min: 1, max: 10, unit: 'times', why: 'Each wait is this many times the one before.' },
  { name: 'RETRY_MAX_WAIT_MS', kind: 'integer', usedBy: B, default: RETRY.maxWaitMs, min: 1, max: 24 * HOUR_MS, unit: 'ms', why: 'No wait is longer.' },
  { name: 'RETRY_MAX_AGE_MS', kind: 'integer', usedBy: B, default: RETRY.maxAgeMs, min: 0, max: 168 * HOUR_MS, unit: 'ms', why: 'How long waits that are not counted (429, 503, unreachable) may last in all.' },

  { name: 'GENERATOR', kind: 'choice', usedBy: W, default: 'template', values: ['template', 'gemini', 'http'], why: 'Who makes the content. template works offline; gemini is Google\'s, on Vertex or by API key; http is a provider of your own (docs/content-provider.openapi.yaml).' },
  { name: 'GENERATOR_TIMEOUT_MS', kind: 'integer', usedBy: W, default: 180_000, min: 100, max: HOUR_MS / 2, unit: 'ms', why: 'One attempt at a generation. Half an hour at the most: the activity itself is given up after 31 minutes.' },
  { name: 'GENERATOR_MEDIA_TIMEOUT_MS', kind: 'integer', usedBy: W, default: HOUR_MS / 2, min: 1_000, max: 24 * HOUR_MS, unit: 'ms', why: 'How long a provider may take over one medium after it has taken it (202). Waiting holds no slot. Then the attempt has failed.' },
  { name: 'GENERATOR_MAX_RESPONSE_BYTES', kind: 'integer', usedBy: W, default: 4_194_304, min: 1_024, max: 67_108_864, unit: 'bytes', why: 'A larger answer is not read to its end (result_too_large). The result itself may have 1 MiB; JSON and what is not stored need room.' },
  { name: 'GEMINI_MODEL', kind: 'text', usedBy: W, default: null, why: 'Required by GENERATOR=gemini, without a default: models are retired, and the original worker met that as failures of each request.' },
  { name: 'GEMINI_LOCATION', kind: 'text', usedBy: W, default: NAMES.region, why: 'Region of Vertex, or global. Where the data may be processed is your decision.' },
  { name: 'GEMINI_API_KEY', kind: 'text', usedBy: W, default: null, secret: true, why: 'Set = the Gemini API with this key. Unset = Vertex in GOOGLE_CLOUD_PROJECT, with application default credentials (roles/aiplatform.user).' },
  { name: 'GEMINI_BASE_URL', kind: 'text', usedBy: W, default: null, why: 'Another address of the same API, such as a proxy. https, or http on this machine.' },
  { name: 'GEMINI_TEMPERATURE', kind: 'number', usedBy: W, default: 0.7, min: 0, max: 2, unit: 'temperature', why: 'As the original worker wrote its scripts.' },
  { name: 'GEMINI_MAX_OUTPUT_TOKENS', kind: 'integer', usedBy: W, default: 8_192, min: 256, max: 65_536, unit: 'tokens', why: 'What a model thinks counts as well. 512 cut every script of the original worker; a lesson of 30 minutes has about 5,500.' },
  { name: 'GEMINI_SAFETY', kind: 'choice', usedBy: W, default: 'medium', values: ['low', 'medium', 'high'], why: 'From which probability of harm on an answer is blocked (content_blocked). Always sent: newer models block nothing by default. low rejects some history and biology.' },
  { name: 'GEMINI_INPUT_PRICE', kind: 'number', usedBy: W, default: null, min: 0, max: 10_000, unit: 'USD per million tokens', why: 'For cost in request_metadata; unset = unknown. Prices change, so there is no default.' },
  { name: 'GEMINI_OUTPUT_PRICE', kind: 'number', usedBy: W, default: null, min: 0, max: 10_000, unit: 'USD per million tokens', why: 'As above; both or neither.' },
  { name: 'GENERATOR_URL', kind: 'text', usedBy: W, default: null, why: 'Required by GENERATOR=http. https, or http on this machine; a private certificate authority goes into NODE_EXTRA_CA_CERTS.' },
  { name: 'WORKER_ACTIVITY_SLOTS', kind: 'integer', usedBy: W, default: 20, min: 1, max: 1_000, unit: 'activities', why: 'Activities at once; generations mostly wait for a provider.' },
  { name: 'WORKER_MAX_CACHED_WORKFLOWS', kind: 'integer', usedBy: W, default: 200, min: 2, max: 100_000, unit: 'workflows', why: 'A run outside the cache is replayed at its next step: memory against CPU.' },
  { name: 'WORKER_WORKFLOW_BUNDLE', kind: 'text', usedBy: W, default: null, why: 'Path of the prebuilt bundle (the image sets it); unset = bundle the sources at start.' },
  { name: 'WORKER_VERSIONING', kind: 'boolean', usedBy: W, default: false, why: 'A run stays with the build that it began on, and a build gets runs only when it has been ramped or promoted (npm run rollout). The deployment sets 1; off on one machine, where nobody promotes. Needs BUILD_ID.' },
  { name: 'WORKER_DEPLOYMENT_NAME', kind: 'text', usedBy: ['worker', 'rollout', 'smoke'], default: NAMES.service, why: 'The worker deployment in Temporal whose versions are the builds. Another name is another deployment: its task queue then follows that one.' },
  { name: 'WORKER_SHUTDOWN_GRACE_MS', kind: 'integer', usedBy: W, default: 5_500, min: 0, max: 600_000, unit: 'ms', why: 'After SIGTERM activities may still finish for so long; then they are cancelled.' },
  { name: 'WORKER_SHUTDOWN_FORCE_MS', kind: 'integer', usedBy: W, default: 8_000, min: 100, max: 600_000, unit: 'ms', why: 'Then the worker leaves without them: Cloud Run kills 10 s after SIGTERM.' },

  { name: 'PORT', kind: 'integer', usedBy: BW, default: null, min: 0, max: 65_535, unit: 'port', why: 'Health: /health and /health/ready. Unset = none, since a job need not listen; 0 = any free port.' },
  { name: 'HEALTH_HOST', kind: 'text', usedBy: BW, default: '0.0.0.0', why: 'The address that health is answered on. The platform asks from outside of the container; npm start sets 127.0.0.1.' },
  { name: 'BUILD_ID', kind: 'text', usedBy: ALL, default: null, why: 'Of the image, which sets it: the first 12 characters of the commit. In every log line, in /health, and the version of WORKER_VERSIONING. Unset = the version of the package.' },
  { name: 'COMMIT_SHA', kind: 'text', usedBy: ALL, default: null, why: 'Of the image, which sets it. In the first log line.' },
  { name: 'LOG_LEVEL', kind: 'choice', usedBy: ALL, default: null, values: ['trace', 'debug', 'info', 'warn', 'error'], why: 'Unset = info, or debug where DEBUG is True. Above info request_completed is not written, and the failure ratio has nothing to compare with.' },
  { name: 'LOG_FORMAT', kind: 'choice', usedBy: ALL, default: null, values: ['json', 'pretty'], why: 'Unset = pretty on a terminal, else json as Cloud Logging reads it.' },
  { name: 'DEBUG', kind: 'text', usedBy: ALL, default: null, why: 'True = LOG_LEVEL debug. Other values are let be: npm packages read DEBUG too.' },
  { name: 'SECRET_KEY', kind: 'text', usedBy: W, default: null, secret: true, why: 'Signs the calls of GENERATOR=http, and is required by it: at least 32 bytes (openssl rand -hex 32). Otherwise accepted, unused: the deployment plan sets it for the API\'s library.' },
  { name: 'ALGORITHM', kind: 'text', usedBy: W, default: null, why: 'Of that signature: HS256 (also when unset), HS384 or HS512.' },
  { name: 'CORS_ORIGINS', kind: 'text', usedBy: BW, default: null, why: 'No process here serves browsers. Checked to be a list of origins, unused.' },
] as const satisfies readonly Setting[];

export type SettingName<K extends Setting['kind'] = Setting['kind']> = Extract<
  (typeof SETTINGS)[number],
  { readonly kind: K }
>['name'];
