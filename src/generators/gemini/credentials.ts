/** Application default credentials, asked for apart from the call: their failures are about the set-up, not the request. */
import { GoogleAuth, type AuthClient } from 'google-auth-library';
import { abortable } from '../abortable.ts';
import { GeneratorError } from '../generator.ts';
import { codeOf, isUnreachable } from '../network-errors.ts';

const SCOPE = 'https://www.googleapis.com/auth/cloud-platform';
const HOW = 'give the service account roles/aiplatform.user, or run: gcloud auth application-default login';

/** Of the exchange: a token endpoint that is silent must hold neither a start nor an attempt, which would be counted. */
const LIMIT_MS = 10_000;

export type Credentials = (signal: AbortSignal) => Promise<AuthClient>;

/** A client that holds a token which is good now; google-auth-library keeps and renews it. */
export function applicationDefaultCredentials(projectId: string, limitMs = LIMIT_MS): Credentials {
  // With its project it need not ask the resource manager for it, which a worker may have no right to.
  const make = (): GoogleAuth => new GoogleAuth({ scopes: [SCOPE], projectId });
  let auth = make();
  return async (signal) => {
    const limit = AbortSignal.timeout(limitMs);
    try {
      return await abortable(tokenOf(auth), AbortSignal.any([signal, limit]));
    } catch (error) {
      if (signal.aborted) throw error;
      if (limit.aborted) {
        // The library shares an exchange that is under way, so one that hangs would hang every later one.
        auth = make();
        throw new GeneratorError('unavailable', 'no_token', `no access token within ${String(limitMs / 1_000)} s`);
      }
      throw meaningOf(error);
    }
  };
}

async function tokenOf(auth: GoogleAuth): Promise<AuthClient> {
  const client = await auth.getClient();
  await client.getAccessToken();
  return client;
}

/**
 * A token endpoint that answers 4xx refuses the credentials; one that does not answer, or with 5xx, is not there now.
 * Anything else is google-auth-library saying that there are none, or that their file is not what it should be.
 */
function meaningOf(error: unknown): GeneratorError {
  const status = statusOf(error);
  const code = codeOf(error);
  const said = (error instanceof Error ? error.message : String(error))
    // JSON.parse quotes what it could not read, and a file of credentials holds a private key.
    .replace(/Unexpected token [^]*is not valid JSON/, 'it is not valid JSON');
  const words = `no access token: ${said}`.slice(0, 300);
  const isAway = status === null ? code !== null && isUnreachable(code) : status >= 500 || status === 429;
  if (isAway) return new GeneratorError('unavailable', 'no_token', words, { cause: error });
  const kind = status === null ? 'no_credentials' : 'credentials_refused';
  return new GeneratorError('configuration', kind, `${words}; ${HOW}`, { cause: error });
}

function statusOf(error: unknown): number | null {
  if (typeof error !== 'object' || error === null || !('status' in error)) return null;
  const status = Number(error.status);
  return Number.isInteger(status) ? status : null;
}
