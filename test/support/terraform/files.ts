/** terraform/*.tf as data: blocks by name, expressions as text in ${…}. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from '@cdktn/hcl2json';

export const FOLDER = join(import.meta.dirname, '../../../terraform');

export type Value = string | number | boolean | null | readonly Value[] | { readonly [key: string]: Value };
type Fields = Readonly<Record<string, Value>>;

export interface TerraformFiles {
  readonly locals: Fields;
  /** Address (google_pubsub_topic.requests) -> its arguments. */
  readonly resources: Readonly<Record<string, Fields>>;
  readonly variables: readonly string[];
}

export async function readTerraform(): Promise<TerraformFiles> {
  let locals: Fields = {};
  const resources: Record<string, Fields> = {};
  const variables: string[] = [];
  for (const name of readdirSync(FOLDER).filter((each) => each.endsWith('.tf'))) {
    const file = await parse(name, readFileSync(join(FOLDER, name), 'utf8'));
    const blocks = file as {
      readonly locals?: readonly Fields[];
      readonly resource?: Readonly<Record<string, Readonly<Record<string, readonly Fields[]>>>>;
      readonly variable?: Fields;
    };
    for (const each of blocks.locals ?? []) locals = { ...locals, ...each };
    variables.push(...Object.keys(blocks.variable ?? {}));
    for (const [type, named] of Object.entries(blocks.resource ?? {})) {
      for (const [key, [fields]] of Object.entries(named))
        if (fields !== undefined) resources[`${type}.${key}`] = fields;
    }
  }
  return { locals, resources, variables };
}

/** The one block of that name. */
export function block(fields: Fields | undefined, name: string): Fields {
  const found = fields?.[name];
  const [only] = Array.isArray(found) ? (found as readonly Value[]) : [];
  if (only === null || only === undefined || typeof only !== 'object') throw new Error(`there is no block ${name}`);
  return only as Fields;
}

/** NAMES_LIKE_THIS that a text sets: the keys of its environments. */
export function settingsIn(text: Value | undefined): string[] {
  return [...JSON.stringify(text).matchAll(/\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)\s*=(?!=)/g)].map(([, name = '']) => name);
}
