/** Test files run side by side: another may take the port between the question and the start. */
import getPort from 'get-port';

export async function onFreePort<T>(start: (port: number) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await start(await getPort({ host: '127.0.0.1' }));
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}

/** A port where nobody listens. */
export function freePort(): Promise<number> {
  return getPort({ host: '127.0.0.1' });
}
