/** Where the parts listen: on the ports where people look first, or on others when those are taken. */
import getPort from 'get-port';

const TRIES = 4;

/** 5432, 7233, 8233 and 8085 are the usual ones; any free port does when they are taken. */
export const portNear = (port: number): Promise<number> =>
  getPort({ host: '127.0.0.1', port: [port, port + 1, port + 2] });

/** Somebody may take a port between the choice and the bind, another `npm start` for one: then the next is tried. */
export async function onFreePort<T>(near: number, start: (port: number) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await start(await portNear(near));
    } catch (error) {
      if (attempt === TRIES || !(error instanceof Error && PORT_TAKEN.test(error.message))) throw error;
    }
  }
}

/** As PostgreSQL, Temporal and the emulator's Java say it. */
export const PORT_TAKEN = /address already in use|BindException/i;
