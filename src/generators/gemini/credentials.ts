/** Application default credentials, asked for apart from the call: their failures are about the set-up, not the request. */
import { GoogleAuth, type AuthClient } from 'google-auth-library';
import { GeneratorError } from '../generator.ts';

const SCOPE = 'https://www.googleapis.com/auth/cloud-platform';
const HOW = 'give the service account roles/aiplatform.user, or run: gcloud auth application-default login';

/** A client that holds a token which is good now; google-auth-library keeps and renews it. */
export function applicationDefaultCredentials(projectId: string): () => Promise<AuthClient> {
  // With its project it need not ask the resource manager for it, which a worker may have no right to.
  const auth = new GoogleAuth({ scopes: [SCOPE], projectId });
  return async () => {
    try {
      const client = await auth.getClient();
      await client.getAccessToken();
      return client;
    } catch (error) {
      throw meaningOf(error);
    }
  };
}

/**
 * A token endpoint that answers 4xx refuses the credentials; one that does not answer, or with 5xx, is not there now.
 * Anything else is google-auth-library saying that there are none, or that their file is not what it should be.
 */
function meaningOf(error: unknown): GeneratorError {
  const status = statusOf(error);
  const words = `no access token: ${error instanceof Error ? error.message : String(error)}`.slice(0, 300);
  const isAway =
    status === null ? codeOf(error) !== null && codeOf(error) !== 'ENOENT' : status >= 500 || status === 429;
  if (isAway) return new GeneratorError('unavailable', 'no_token', words, { cause: error });
  const code = status === null ? 'no_credentials' : 'credentials_refused';
  return new GeneratorError('configuration', code, `${words}; ${HOW}`, { cause: error });
}

function codeOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}

function statusOf(error: unknown): number | null {
  if (typeof error !== 'object' || error === null || !('status' in error)) return null;
  const status = Number(error.status);
  return Number.isInteger(status) ? status : null;
}
