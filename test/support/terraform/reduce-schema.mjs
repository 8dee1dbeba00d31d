/**
 * The provider's own schema -> schema.json, with what our files use. To take over a new version, where the registry
 * can be reached:
 *   terraform providers schema -json | node test/support/terraform/reduce-schema.mjs 7.46.0 > test/support/terraform/schema.json
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../../..');
const NAME = 'registry.terraform.io/hashicorp/google';

const [version] = process.argv.slice(2);
if (version === undefined || !/^\d+\.\d+\.\d+$/.test(version)) {
  console.error('usage: reduce-schema.mjs VERSION < schema.json');
  process.exit(2);
}

const folder = join(ROOT, 'terraform');
const files = readdirSync(folder).filter((name) => name.endsWith('.tf'));
const text = files.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
const used = (keyword) =>
  new Set([...text.matchAll(new RegExp(`^${keyword} "(google_\\w+)"`, 'gm'))].map(([, type]) => type));

const input = JSON.parse(readFileSync(0, 'utf8'));
const { resource_schemas: resources, data_source_schemas: dataSources } = input.provider_schemas?.[NAME] ?? input;

/** `Possible values: ["A", "B"]` of a description: what the provider itself would refuse. */
function valuesOf(description = '') {
  const list = /Possible values: (\["[^\]]*"\])/.exec(description)?.[1];
  return list === undefined ? undefined : JSON.parse(list);
}

function attribute({ type, required, optional, computed, sensitive, write_only: writeOnly, deprecated, description }) {
  return {
    type,
    required,
    optional,
    computed,
    sensitive,
    write_only: writeOnly,
    deprecated,
    values: valuesOf(description),
  };
}

function block({ attributes = {}, block_types: blocks = {} }) {
  return {
    attributes: Object.fromEntries(Object.entries(attributes).map(([name, each]) => [name, attribute(each)])),
    block_types: Object.fromEntries(
      Object.entries(blocks).map(([name, { nesting_mode, min_items, max_items, block: inner }]) => [
        name,
        { nesting_mode, min_items, max_items, block: block(inner) },
      ]),
    ),
  };
}

function reduced(schemas, types) {
  const missing = [...types].filter((type) => schemas[type] === undefined);
  if (missing.length > 0) {
    console.error(`the schema does not have ${missing.join(', ')}`);
    process.exit(1);
  }
  return Object.fromEntries(
    [...types].sort().map((type) => [type, { version: schemas[type].version, block: block(schemas[type].block) }]),
  );
}

const parts = {
  resource_schemas: reduced(resources, used('resource')),
  data_source_schemas: reduced(dataSources, used('data')),
};
// A type a line: a new version of the provider is a diff that can be read.
const lines = Object.entries(parts).map(([part, types]) => {
  const inner = Object.entries(types).map(([type, schema]) => `    ${JSON.stringify(type)}: ${JSON.stringify(schema)}`);
  return `  ${JSON.stringify(part)}: {\n${inner.join(',\n')}\n  }`;
});
console.log(`{\n  "provider": "hashicorp/google",\n  "version": ${JSON.stringify(version)},\n${lines.join(',\n')}\n}`);
