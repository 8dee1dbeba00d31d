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
  /** Variables without a default. */
  readonly required: readonly string[];
  /** Name -> its type, as it is written. */
  readonly types: Readonly<Record<string, string>>;
  readonly outputs: readonly string[];
  /** Addresses: data.google_project.this */
  readonly data: readonly string[];
}

export async function readTerraform(): Promise<TerraformFiles> {
  let locals: Fields = {};
  const resources: Record<string, Fields> = {};
  const types: Record<string, string> = {};
  const required: string[] = [];
  const outputs: string[] = [];
  const data: string[] = [];
  for (const name of readdirSync(FOLDER).filter((each) => each.endsWith('.tf'))) {
    const file = await parse(name, readFileSync(join(FOLDER, name), 'utf8'));
    const blocks = file as {
      readonly locals?: readonly Fields[];
      readonly resource?: Readonly<Record<string, Readonly<Record<string, readonly Fields[]>>>>;
      readonly variable?: Readonly<Record<string, readonly { readonly type?: string; readonly default?: unknown }[]>>;
      readonly output?: Fields;
      readonly data?: Readonly<Record<string, Fields>>;
    };
    for (const each of blocks.locals ?? []) locals = { ...locals, ...each };
    for (const [key, [variable]] of Object.entries(blocks.variable ?? {})) {
      types[key] = variable?.type ?? '';
      if (variable !== undefined && !('default' in variable)) required.push(key);
    }
    outputs.push(...Object.keys(blocks.output ?? {}));
    for (const [type, named] of Object.entries(blocks.data ?? {}))
      data.push(...Object.keys(named).map((key) => `data.${type}.${key}`));
    for (const [type, named] of Object.entries(blocks.resource ?? {})) {
      for (const [key, [fields]] of Object.entries(named))
        if (fields !== undefined) resources[`${type}.${key}`] = fields;
    }
  }
  return { locals, resources, variables: Object.keys(types), required, types, outputs, data };
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
