/** The project's own commands that a script of the pipeline calls: each must be there. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../../../src/dev/paths.ts';

const { scripts } = JSON.parse(readFileSync(path.join(projectRoot, 'package.json'), 'utf8')) as {
  scripts: Readonly<Record<string, string>>;
};

export interface Command {
  /** npm run NAME, or a file of the project. */
  readonly name: string;
  readonly args: readonly string[];
}

/** In their order. */
export function commandsIn(script: string): Command[] {
  const lines = script.replace(/\\\n/g, ' ').split('\n');
  return lines.flatMap((line) =>
    [...line.matchAll(/(?:npm (?:run )?(?:--silent )?([\w:-]+)|(?<![\w/.-])((?:scripts|\.ci)\/[\w./-]+))([^;|&]*)/g)].map(
      ([, npm, file, rest = '']) => ({ name: npm ?? file ?? '', args: rest.trim().split(/\s+/) }),
    ),
  );
}

export function commandFaults(script: string): string[] {
  return commandsIn(script).flatMap(({ name, args }) => {
    if (name === 'ci') return [];
    if (!name.includes('/')) return npmFaults(name, args);
    const file = path.join(projectRoot, name);
    if (!existsSync(file)) return [`there is no ${name}`];
    if ((statSync(file).mode & 0o111) === 0) return [`${name} cannot be executed`];
    return verbFaults(name, args);
  });
}

/** The script is in package.json, and its program knows the verb and the options. */
function npmFaults(name: string, args: readonly string[]): string[] {
  const script = scripts[name];
  if (script === undefined) return [`package.json has no script ${name}`];
  const [, file] = /((?:src|scripts)\/\S+\.ts)$/.exec(script) ?? [];
  if (file === undefined) return [];
  const program = readFileSync(path.join(projectRoot, file), 'utf8');
  const [dashes, verb = ''] = args;
  const faults = args.flatMap((arg) =>
    /^--\w/.test(arg) && !new RegExp(`'${arg}[ ']`).test(program) ? [`${name} has no option ${arg}`] : [],
  );
  const takesVerbs = program.includes(".command('");
  if (takesVerbs && dashes === '--' && /^\w/.test(verb) && !program.includes(`.command('${verb}')`)) {
    faults.push(`${name} has no verb ${verb}`);
  }
  return faults;
}

/** A script that takes verbs has a case for each. */
function verbFaults(name: string, [verb = '']: readonly string[]): string[] {
  const cases = [...readFileSync(path.join(projectRoot, name), 'utf8').matchAll(/^ {2}([a-z]+)\)$/gm)];
  if (cases.length === 0 || cases.some(([, known]) => known === verb)) return [];
  return [`${name} has no verb ${verb}`];
}
