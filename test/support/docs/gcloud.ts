/**
 * The commands and flags of the Google Cloud CLI, from the table that its shell completion uses: no network, no account, and
 * a moment instead of a `--help` of seconds for each.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

interface Command {
  readonly commands?: Readonly<Record<string, Command>>;
  /** bool, value, dynamic, or the values that there are. */
  readonly flags?: Readonly<Record<string, string | readonly string[]>>;
}

const READ = `import importlib.util, json, sys
spec = importlib.util.spec_from_file_location('table', sys.argv[1])
table = importlib.util.module_from_spec(spec)
spec.loader.exec_module(table)
print(json.dumps(table.STATIC_COMPLETION_CLI_TREE))`;

/** @returns Every fault of a command line, in words. */
export type Gcloud = (words: readonly string[]) => string[];

export function readGcloud(path: string | undefined): Gcloud {
  const binary = (path ?? '').split(delimiter).map((folder) => join(folder, 'gcloud'));
  const found = binary.find((each) => existsSync(each));
  if (found === undefined) throw new Error('gcloud is not on PATH: https://cloud.google.com/sdk/docs/install');
  const table = join(dirname(dirname(realpathSync(found))), 'data/cli/gcloud_completions.py');
  const options = { encoding: 'utf8', maxBuffer: 1 << 28 } as const;
  const root = JSON.parse(execFileSync('python3', ['-B', '-c', READ, table], options)) as Command;
  return (words) => faultsOf(root, words);
}

/** A group that became generally available after this CLI was made is looked up where it was before. */
function faultsOf(root: Command, words: readonly string[]): string[] {
  const tries = [words, ['beta', ...words], ['alpha', ...words]].map((each) => faultsIn(root, each));
  return tries.find((faults) => faults.length === 0) ?? tries[0] ?? [];
}

function faultsIn(root: Command, words: readonly string[]): string[] {
  const flags: Record<string, string | readonly string[]> = { ...root.flags };
  let command = root;
  const path: string[] = [];
  for (const word of words) {
    const next: Command | undefined = word.startsWith('-') ? undefined : command.commands?.[word];
    if (next === undefined) break;
    path.push(word);
    command = next;
    Object.assign(flags, command.flags);
  }
  const name = `gcloud ${path.join(' ')}`;
  const rest = words.slice(path.length);
  if (Object.keys(command.commands ?? {}).length > 0) return [`${name} has no command ${rest[0] ?? '(none is named)'}`];
  return rest.flatMap((word) => {
    const flag = /^(--[a-z0-9-]+)(?:=(.*))?$/.exec(word);
    if (flag === null) return [];
    const [, long = '', value] = flag;
    const known = flags[long] ?? flags[long.replace(/^--no-/, '--')];
    if (known === undefined) return [`${name} has no flag ${long}`];
    return Array.isArray(known) && value !== undefined && !known.includes(value)
      ? [`${name} ${long} takes ${known.join(', ')}, and not ${value}`]
      : [];
  });
}
