/** Letters for people and for jq. Bodies hold students' words, so they are shown only where they are asked for. */
import { inert, printable } from '../log.ts';
import { shortId, type Letter } from './letter.ts';
import type { Shown } from './show.ts';

/** As the letter's attributes are called, so that what is read here is found there. */
export function jsonOf({ letter, copies }: Shown, bodies: boolean): string {
  const { attributes } = letter;
  const own = Object.entries(attributes).filter(([key]) => key.startsWith('dlq_'));
  const line = JSON.stringify({
    ...Object.fromEntries(own),
    dlq_id: letter.id,
    dlq_reason: letter.reason,
    correlation_id: letter.correlationId,
    row_id: letter.rowId,
    copies,
    // Their values are whatever a publisher has put there.
    other_attributes: Object.keys(attributes).filter((key) => !key.startsWith('dlq_') && key !== 'correlation_id'),
    ...(bodies ? bodyOf(letter.body) : {}),
  });
  return inert(line);
}

export function linesOf({ letter, copies }: Shown, bodies: boolean): string[] {
  const of = (key: string): string => printable(letter.attributes[`dlq_${key}`] ?? '–');
  const replays = of('replay_count');
  const head = [
    `${shortId(letter)}  ${printable(letter.reason)}  ${of('time')}`,
    ...(copies > 1 ? [`${String(copies)} copies`] : []),
    ...(replays === '–' || replays === '0' ? [] : [`replayed before: ${replays}`]),
  ];
  return [
    head.join(', '),
    `  request  ${requestOf(letter)}`,
    `  stage    ${of('stage')}, attempts ${of('attempts')}`,
    `  run      ${of('workflow_id')} ${of('run_id')}`,
    `  message  ${of('message_id')}, published ${of('publish_time')}`,
    `  detail   ${of('detail')}`,
    ...(bodies ? Object.entries(bodyOf(letter.body)).map(([name, text]) => `  ${name}  ${printable(text)}`) : []),
  ];
}

function requestOf({ rowId, correlationId }: Letter): string {
  const ids = [
    ...(rowId === null ? [] : [rowId]),
    ...(correlationId === null ? [] : [`correlation_id ${correlationId}`]),
  ];
  return ids.length === 0 ? 'not known' : printable(ids.join(', '));
}

/** Text where it is text: JSON may hold any, and a terminal gets none that moves a cursor. */
function bodyOf(body: Uint8Array): Record<string, string> {
  try {
    return { body: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body) };
  } catch {
    return { body_base64: Buffer.from(body).toString('base64') };
  }
}

/** The letter and its request, in one line. */
export function nameOf(letter: Letter): string {
  return `${shortId(letter)} (${printable(letter.reason)}, request ${requestOf(letter)})`;
}
