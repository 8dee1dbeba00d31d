/** Lines as Cloud Logging would parse them. */
import { createLogger, type Logger } from '../../src/log.ts';

export type Line = Readonly<Record<string, unknown>>;

/** What terraform's filter jsonPayload.alert="<code>" finds among them. */
export function alertLines(lines: readonly Line[], code: string): Line[] {
  return lines.filter(({ alert }) => alert === code);
}

/** The product's own logger; its lines are kept. */
export function recordingLog(): { readonly log: Logger; readonly lines: Line[] } {
  const lines: Line[] = [];
  const write = (text: string): void => void lines.push(JSON.parse(text) as Line);
  return { log: createLogger({ level: 'debug', format: 'json', project: null }, {}, { write }), lines };
}
