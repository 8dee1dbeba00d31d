/** A shell that somebody types a page's blocks into, one after the other: what one exports, the next ones have. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './page.ts';

export interface Shell {
  readonly env: Readonly<Record<string, string>>;
  set(variables: Readonly<Record<string, string>>): void;
  /** Its output; throws when a command of it fails, with everything it said. */
  run(script: string): Promise<string>;
}

export function openShell(folder: string, first: Readonly<Record<string, string>>): Shell {
  const variables = join(folder, 'variables');
  let env = { ...first };
  return {
    get env() {
      return env;
    },
    set: (more) => {
      env = { ...env, ...more };
    },
    run: async (script) => {
      const text = `set -euo pipefail\n${script}\nenv -0 > "$WALK_VARIABLES"\n`;
      const { code, output } = await bash(text, { ...env, WALK_VARIABLES: variables });
      if (code !== 0) throw new Error(`exit ${String(code)} of\n${script}\n${output}`);
      env = Object.fromEntries(
        readFileSync(variables, 'utf8')
          .split('\0')
          .filter((each) => each !== '')
          .map((each) => [each.slice(0, each.indexOf('=')), each.slice(each.indexOf('=') + 1)]),
      );
      return output;
    },
  };
}

function bash(text: string, env: Readonly<Record<string, string>>): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    // No terminal and no standard input: whatever asks is answered by nothing.
    const child = spawn('bash', ['-c', text], { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (chunk: string) => (output += chunk));
    }
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output }));
  });
}
