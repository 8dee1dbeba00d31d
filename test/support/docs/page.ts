/** A page of documentation as data: its fenced blocks, the code in its lines, its headings, its links. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '../../..');

export const PLACES = ['runs here', 'needs a project'] as const;
type Place = (typeof PLACES)[number];

export interface Block {
  readonly page: string;
  readonly line: number;
  readonly section: string;
  readonly language: string;
  /** What its first line says; null where it says nothing. */
  readonly place: Place | null;
  readonly text: string;
}

export interface Page {
  readonly name: string;
  readonly blocks: readonly Block[];
  /** `like this`, outside of blocks. */
  readonly inline: readonly string[];
  readonly headings: readonly string[];
  /** The targets of [links](…). */
  readonly links: readonly string[];
}

export const readPage = (name: string): Page => parsePage(name, readFileSync(join(ROOT, name), 'utf8'));

export function parsePage(name: string, markdown: string): Page {
  const blocks: Block[] = [];
  const headings: string[] = [];
  const prose: string[] = [];
  let open: { readonly line: number; readonly language: string; readonly lines: string[] } | null = null;
  for (const [index, line] of markdown.split('\n').entries()) {
    const fence = /^```(\S*)/.exec(line);
    if (open === null) {
      if (fence !== null) open = { line: index + 1, language: fence[1] ?? '', lines: [] };
      else prose.push(line);
      const heading = /^#{1,6} (.+)$/.exec(line);
      if (heading?.[1] !== undefined) headings.push(heading[1]);
    } else if (fence !== null) {
      const { lines, ...rest } = open;
      const said = /^(?:#|--) (.+?)(?::|$)/.exec(lines[0] ?? '')?.[1];
      const place = PLACES.find((each) => each === said) ?? null;
      blocks.push({ page: name, section: headings.at(-1) ?? '', place, text: `${lines.join('\n')}\n`, ...rest });
      open = null;
    } else open.lines.push(line);
  }
  if (open !== null) throw new Error(`${name}:${String(open.line)}: the block does not end`);
  const text = prose.join('\n');
  return {
    name,
    blocks,
    headings,
    inline: [...text.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code),
    links: [...text.replaceAll(/`[^`]*`/g, '').matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link),
  };
}

/** As GitHub makes them. */
export const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
    .replaceAll(' ', '-');

/** What a shell would run: the blocks, and the code in lines. */
export const commandsOf = ({ name, blocks, inline }: Page): { readonly at: string; readonly text: string }[] => [
  ...blocks
    .filter(({ language }) => language === 'sh')
    .map(({ line, text }) => ({ at: `${name}:${String(line)}`, text: text.replaceAll('\\\n', ' ') })),
  ...inline.map((text) => ({ at: `${name}: \`${text}\``, text })),
];
