import { printable } from '../log.ts';

/** gRPC status codes that decide something here: https://grpc.io/docs/guides/status-codes/ */
export const CODE = {
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  failedPrecondition: 9,
  aborted: 10,
  unimplemented: 12,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** The status code of an error or of the first of its causes that has one. */
export function codeOf(error: unknown): number | undefined {
  for (let current = error, depth = 0; current instanceof Error && depth < 5; current = current.cause, depth += 1) {
    if ('code' in current && typeof current.code === 'number') return current.code;
  }
  return undefined;
}

/** JSON.parse quotes what it could not read, and a file of credentials holds a private key. */
const QUOTED_JSON = /Unexpected token [^]*?is not valid JSON/g;

/** One line, the deepest cause last; no stack. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let current = error, depth = 0; depth < 5; depth += 1) {
    if (!(current instanceof Error)) {
      if (depth === 0) parts.push(String(current));
      break;
    }
    if (!parts.includes(current.message)) parts.push(current.message);
    current = current.cause;
  }
  return printable(parts.join(': ').replace(QUOTED_JSON, 'the file is not valid JSON')).slice(0, 500);
}

export type Trouble =
  /** It may pass by itself: wait and try again. The default for all that is unknown. */
  | { readonly kind: 'outage'; readonly error: string }
  /** It passes only when somebody changes our set-up. */
  | { readonly kind: 'misconfigured'; readonly problem: string };

/** google-auth-library throws this without a code. */
const NO_CREDENTIALS =
  /Could not load the default credentials|invalid_grant|Unable to detect a Project Id|is not valid JSON/;

/** What a failed Pub/Sub call means. */
export function classifyPubsub(error: unknown, what: string): Trouble {
  const code = codeOf(error);
  const text = describeError(error);
  switch (code) {
    case CODE.notFound:
      return { kind: 'misconfigured', problem: `${what} does not exist (${text}). Create it, or correct the name.` };
    case CODE.permissionDenied:
      return {
        kind: 'misconfigured',
        problem: `no permission on ${what} (${text}). Grant this identity roles/pubsub.subscriber on a subscription, roles/pubsub.publisher on a topic.`,
      };
    case CODE.unauthenticated:
      return {
        kind: 'misconfigured',
        problem: `Pub/Sub refuses our credentials (${text}). Run: gcloud auth application-default login`,
      };
    case CODE.invalidArgument:
      return { kind: 'misconfigured', problem: `Pub/Sub refuses a call on ${what} as invalid (${text}).` };
    default:
      if (code === undefined && NO_CREDENTIALS.test(text)) {
        return {
          kind: 'misconfigured',
          problem: `no Google credentials (${text}). Run: gcloud auth application-default login`,
        };
      }
      return { kind: 'outage', error: text };
  }
}

/** What a failed Temporal call means; already-started is dealt with before. */
export function classifyTemporal(error: unknown, namespace: string): Trouble {
  const text = describeError(error);
  switch (codeOf(error)) {
    case CODE.invalidArgument:
      return {
        kind: 'misconfigured',
        problem: `Temporal refuses the call as invalid (${text}). If it names a search attribute, register it: temporal operator search-attribute create --namespace ${namespace} --name <name> --type Keyword`,
      };
    case CODE.permissionDenied:
      return {
        kind: 'misconfigured',
        problem: `Temporal denies access to namespace ${namespace} (${text}). Give this identity write access to it.`,
      };
    case CODE.unauthenticated:
      return {
        kind: 'misconfigured',
        problem: `Temporal refuses our credentials (${text}). Check TEMPORAL_API_KEY or TEMPORAL_TLS_CLIENT_CERT_PATH.`,
      };
    case CODE.notFound:
      return {
        kind: 'misconfigured',
        problem: `Temporal namespace ${namespace} was not found (${text}). Create it: temporal operator namespace create --retention 720h --namespace ${namespace}`,
      };
    default:
      return isNamespaceMissing(error)
        ? {
            kind: 'misconfigured',
            problem: `Temporal namespace ${namespace} does not exist. Create it: temporal operator namespace create --retention 720h --namespace ${namespace}`,
          }
        : { kind: 'outage', error: text };
  }
}

/** The client turns a NOT_FOUND into errors of its own that carry no code. */
function isNamespaceMissing(error: unknown): boolean {
  return error instanceof Error && (error.name === 'NamespaceNotFoundError' || error.name === 'WorkflowNotFoundError');
}
