/** Finds a Java that can run the Pub/Sub emulator, or says which way it is missing. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { codeOf, inWords, isNoCommand, StartError } from './start-error.ts';

const OLDEST = 11;
const INSTALL = 'run "sudo apt-get install default-jre-headless" (macOS: "brew install --cask temurin")';
const OR_NAME_ONE = ', or set PUBSUB_EMULATOR_HOST to a running emulator';
const MEND = INSTALL + OR_NAME_ONE;
/** A stub or a wrapper that asks something would wait for ever. */
const LIMIT_MS = 20_000;

export async function findJava(env: Readonly<Record<string, string | undefined>>): Promise<string> {
  const home = env['JAVA_HOME']?.trim();
  const chosen = home !== undefined && home !== '';
  const java = chosen ? path.join(home, 'bin', 'java') : 'java';
  const { output, error } = await versionOf(java, env);
  const need = `the Pub/Sub emulator needs Java ${String(OLDEST)} or newer`;
  if (error !== null) {
    if (chosen) {
      throw new StartError(
        `Java: JAVA_HOME is ${home}, and ${java} does not run (${why(error, output)}): ` +
          `correct JAVA_HOME, or unset it to use the java on PATH; ${need}.`,
      );
    }
    if (isNoCommand(error)) throw new StartError(`Java: ${need}, and none is on PATH: ${MEND}.`);
    // macOS has a /usr/bin/java that only says that there is none.
    throw new StartError(`Java: ${need}, and the java on PATH does not run (${why(error, output)}): ${MEND}.`);
  }
  const version = /version "([^"]+)"/.exec(output)?.[1];
  if (version !== undefined && majorOf(version) < OLDEST) {
    const which = chosen ? `JAVA_HOME is ${home}, which is Java ${version}` : `the java on PATH is ${version}`;
    throw new StartError(
      `Java: ${need}, and ${which}: ${INSTALL}${chosen ? ' and let JAVA_HOME name it' : ''}${OR_NAME_ONE}.`,
    );
  }
  return java;
}

/** Until Java 8 the versions were 1.8 and the like. */
function majorOf(version: string): number {
  const [first = 0, second = 0] = version.split(/[._-]/).map(Number);
  return first === 1 ? second : first;
}

function versionOf(
  java: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<{ output: string; error: Error | null }> {
  return new Promise((resolve) => {
    execFile(java, ['-version'], { env: { PATH: env['PATH'] ?? '' }, timeout: LIMIT_MS }, (error, stdout, stderr) =>
      resolve({ output: stderr + stdout, error }),
    );
  });
}

function why(error: Error, output: string): string {
  const said = inWords(output);
  if (said !== '') return said;
  return codeOf(error) === 'ENOENT' ? 'there is no such file' : inWords(error);
}
