/** A Dockerfile as its stages and instructions. Whatever it does not know it refuses: nothing is passed over. */

export interface Instruction {
  readonly keyword: string;
  /** Everything after the keyword, continued lines joined. */
  readonly text: string;
  readonly line: number;
}

export interface Stage {
  /** After AS; null = it has none. */
  readonly name: string | null;
  readonly from: string;
  readonly instructions: readonly Instruction[];
}

const KEYWORDS = ['ARG', 'CMD', 'COPY', 'ENTRYPOINT', 'ENV', 'LABEL', 'RUN', 'USER', 'WORKDIR'];

export function parseDockerfile(text: string): Stage[] {
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  for (const instruction of instructionsOf(text)) {
    const { keyword, line } = instruction;
    if (keyword === 'FROM') {
      const [, from, name] = /^(\S+)(?: AS (\S+))?$/i.exec(instruction.text) ?? [];
      if (from === undefined) throw new Error(`line ${String(line)}: FROM ${instruction.text}`);
      stages.push({ name: name ?? null, from, instructions: [] });
      continue;
    }
    const stage = stages.at(-1);
    if (stage === undefined || !KEYWORDS.includes(keyword) || instruction.text.includes('<<')) {
      throw new Error(`line ${String(line)}: ${keyword} is not understood here`);
    }
    stage.instructions.push(instruction);
  }
  return stages;
}

function instructionsOf(text: string): Instruction[] {
  const found: Instruction[] = [];
  let joined = '';
  let begun: number | null = null;
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const continued = line.endsWith('\\');
    begun ??= index + 1;
    joined += continued ? line.slice(0, -1) : line;
    if (continued) continue;
    const [, keyword = '', rest = ''] = /^\s*(\w+)\s+(.*)$/.exec(joined) ?? [];
    found.push({ keyword: keyword.toUpperCase(), text: rest.trim(), line: begun });
    joined = '';
    begun = null;
  }
  if (begun !== null) throw new Error(`line ${String(begun)}: it never ends`);
  return found;
}

/** KEY=VALUE KEY="VALUE" …, with ${NAME} of the build arguments filled in; one that is not given is empty. */
export function pairsOf(text: string, args: Readonly<Record<string, string>>): Record<string, string> {
  const pairs: Record<string, string> = {};
  const rest = text.replace(/([\w.]+)=("[^"]*"|\S*)(?:\s+|$)/g, (_, key: string, value: string) => {
    pairs[key] = value.replace(/^"|"$/g, '').replace(/\$\{(\w+)\}/g, (__, name: string) => args[name] ?? '');
    return '';
  });
  if (rest !== '') throw new Error(`not KEY=VALUE: ${rest}`);
  return pairs;
}

export interface Copy {
  /** A stage's name; null = the context. */
  readonly from: string | null;
  readonly sources: readonly string[];
  readonly to: string;
}

export function copyOf(text: string): Copy {
  const words = text.split(/\s+/);
  const flags = words.filter((word) => word.startsWith('--'));
  const [from = null] = flags.flatMap((flag) => /^--from=(.+)$/.exec(flag)?.[1] ?? []);
  if (flags.length > (from === null ? 0 : 1)) throw new Error(`COPY ${text}: only --from is understood`);
  const paths = words.slice(flags.length);
  const to = paths.at(-1);
  if (to === undefined || paths.length < 2) throw new Error(`COPY ${text}: from where, and where to?`);
  return { from, sources: paths.slice(0, -1), to };
}

/** Whether .dockerignore lets a path of the context through: as docker has it, the last pattern that fits decides. */
export function letsThrough(ignore: string, path: string): boolean {
  let through = true;
  for (const line of ignore.split('\n')) {
    if (/^\s*(#|$)/.test(line)) continue;
    const [, not = '', pattern = ''] = /^(!?)(.*?)\s*$/.exec(line) ?? [];
    if (pattern !== '*' && /[*?[\\]/.test(pattern)) throw new Error(`.dockerignore: ${pattern} is not understood`);
    if (pattern === '*' || path === pattern || path.startsWith(`${pattern}/`)) through = not === '!';
  }
  return through;
}

export function words(exec: string): string[] {
  const parsed: unknown = JSON.parse(exec);
  if (!Array.isArray(parsed) || !parsed.every((word) => typeof word === 'string')) {
    throw new Error(`${exec}: only the exec form passes signals on`);
  }
  return parsed;
}
