/** Whether a data folder that is there can be started: told before anything is started, and better than PostgreSQL does. */
import { readFile, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { SYSTEM_USER, whenCode, type Identity, type PostgresBinaries } from './postgres-binaries.ts';
import { inWords, StartError } from './start-error.ts';

const MEND = 'move it away, or start with another --data';
/** Without any of these PostgreSQL does not start, and its own words do not say what happened. */
const OF_A_WHOLE_ONE = ['base', 'global/pg_control', 'pg_wal'];

/** Throws a StartError when the folder holds something that these binaries cannot start. Changes nothing. */
export async function checkPostgresData(dataDir: string, { identity, major }: PostgresBinaries): Promise<void> {
  const found = await stat(dataDir).catch(whenCode('ENOENT', null)).catch(whenCode('ENOTDIR', null));
  await checkWayThere(path.dirname(dataDir), identity);
  if (found === null) return;
  const fault = (why: string, mend = MEND): StartError => new StartError(`PostgreSQL: ${dataDir} ${why}: ${mend}.`);
  if (!found.isDirectory()) throw fault('is not a folder');

  const version = await readFile(path.join(dataDir, 'PG_VERSION'), 'utf8')
    .catch(whenCode('ENOENT', null))
    .catch((error: unknown) => {
      throw fault(`cannot be read (${inWords(error)})`);
    });
  if (version === null) {
    if ((await readdir(dataDir)).length === 0) return;
    throw fault('holds files, but no PostgreSQL data (there is no PG_VERSION in it)');
  }
  const theirs = version.trim();
  if (!/^\d+(\.\d+)?$/.test(theirs)) throw fault('is broken (its PG_VERSION names no version)');
  if (theirs !== major) throw fault(`was made by PostgreSQL ${theirs}, and PostgreSQL ${major} is what would run it`);
  const uid = identity.uid ?? process.getuid?.();
  if (uid !== undefined && found.uid !== uid) {
    const whose = `belongs to the user with the id ${String(found.uid)}`;
    const runs = `PostgreSQL would run as ${identity.uid === undefined ? 'you' : SYSTEM_USER} (${String(uid)})`;
    throw fault(`${whose}, and ${runs}`, 'start it as that user, or start with another --data');
  }
  for (const name of OF_A_WHOLE_ONE) {
    const there = await stat(path.join(dataDir, name)).catch(whenCode('ENOENT', null));
    if (there === null) throw fault(`is not whole (${name} is missing)`);
  }
}

/** As root, PostgreSQL runs as somebody else, to whom a home of mode 700 is closed. */
async function checkWayThere(folder: string, { uid, gid }: Identity): Promise<void> {
  if (uid === undefined) return;
  for (let at = folder; ; at = path.dirname(at)) {
    const found = await stat(at).catch(() => null);
    if (found?.isDirectory() === true) {
      const enter = found.uid === uid ? 0o100 : found.gid === gid ? 0o010 : 0o001;
      if ((found.mode & enter) === 0) {
        throw new StartError(
          `PostgreSQL: as root it runs as the user ${SYSTEM_USER}, who cannot enter ${at}: ` +
            `run "chmod o+x ${at}", or start with a --data elsewhere.`,
        );
      }
    }
    if (at === path.dirname(at)) return;
  }
}
