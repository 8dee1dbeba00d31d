#!/usr/bin/env node
/**
 * hashicorp/google without Google: it knows the schema of the resources that we use, and what values an attribute may
 * have, so that `terraform validate` and `terraform test` (whose mock_provider asks for no more) run without a registry,
 * an account or a network. It can create nothing.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setInterval } from 'node:timers';
import grpc from '@grpc/grpc-js';
import { decode, ExtensionCodec } from '@msgpack/msgpack';
import protobuf from 'protobufjs';
import { faultsOf } from './schema-faults.mjs';

// go-plugin's handshake: whoever starts this by hand is told, and terraform's cookie is public.
const COOKIE = ['TF_PLUGIN_MAGIC_COOKIE', 'd602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2'];
if (process.env[COOKIE[0]] !== COOKIE[1]) {
  console.error('A plugin of terraform, started by terraform: see scripts/terraform-offline.sh');
  process.exit(1);
}
if (process.env.PLUGIN_CLIENT_CERT !== undefined) {
  console.error('This provider speaks plainly with its parent: set TF_DISABLE_PLUGIN_TLS=1');
  process.exit(1);
}

const schema = JSON.parse(readFileSync(join(import.meta.dirname, 'schema.json'), 'utf8'));
const root = protobuf.parse(readFileSync(join(import.meta.dirname, 'plugin.proto'), 'utf8'), { keepCase: true }).root;
const message = (name) => root.lookupType(`tfplugin5.${name}`);

const NESTING = { single: 1, list: 2, set: 3, map: 4, group: 5 };
const ERROR = 1;

function blockOf({ attributes, block_types: blocks }) {
  return {
    attributes: Object.entries(attributes).map(([name, { type, ...flags }]) => ({
      name,
      ...flags,
      type: Buffer.from(JSON.stringify(type)),
    })),
    block_types: Object.entries(blocks).map(([name, { nesting_mode: mode, min_items, max_items, block }]) => ({
      type_name: name,
      nesting: NESTING[mode],
      min_items,
      max_items,
      block: blockOf(block),
    })),
  };
}

const schemasOf = (types) =>
  Object.fromEntries(
    Object.entries(types).map(([type, { version, block }]) => [type, { version, block: blockOf(block) }]),
  );

/** The arguments of our provider block; the real one has some two hundred. */
const PROVIDER = {
  attributes: {
    project: { type: 'string', optional: true },
    region: { type: 'string', optional: true },
    default_labels: { type: ['map', 'string'], optional: true },
    add_terraform_attribution_label: { type: 'bool', optional: true },
    user_project_override: { type: 'bool', optional: true },
  },
  block_types: {},
};

/** cty writes what is not known yet as an extension; its type does not matter here. */
const UNKNOWN = new ExtensionCodec();
for (const type of [0, 12]) UNKNOWN.register({ type, encode: () => null, decode: () => undefined });

const diagnostics =
  (types) =>
  ({ type_name: type, config }) => {
    const found = types[type];
    if (found === undefined) return { diagnostics: [{ severity: ERROR, summary: `no schema of ${type}` }] };
    const value = decode(config.msgpack, { extensionCodec: UNKNOWN });
    return {
      diagnostics: faultsOf(found.block, value).map((detail) => ({
        severity: ERROR,
        summary: 'Invalid value',
        detail,
      })),
    };
  };

const server = new grpc.Server({ 'grpc.max_send_message_length': -1, 'grpc.max_receive_message_length': -1 });

/** name -> [request, response, answer]. What is not here is answered UNIMPLEMENTED: it would need an API. */
const calls = {
  GetSchema: [
    'Nothing',
    'SchemaResponse',
    () => ({
      provider: { version: 0, block: blockOf(PROVIDER) },
      resource_schemas: schemasOf(schema.resource_schemas),
      data_source_schemas: schemasOf(schema.data_source_schemas),
    }),
  ],
  PrepareProviderConfig: [
    'ProviderConfigRequest',
    'ProviderConfigResponse',
    ({ config }) => ({ prepared_config: config }),
  ],
  ValidateResourceTypeConfig: ['ConfigRequest', 'DiagnosticsResponse', diagnostics(schema.resource_schemas)],
  ValidateDataSourceConfig: ['ConfigRequest', 'DiagnosticsResponse', diagnostics(schema.data_source_schemas)],
  Configure: ['Nothing', 'DiagnosticsResponse', () => ({})],
  Stop: ['Nothing', 'StopResponse', () => ({})],
};
const coder = (type) => ({
  encode: (value) => Buffer.from(type.encode(type.fromObject(value)).finish()),
  decode: (bytes) => type.toObject(type.decode(bytes)),
});

const answer = (respond) => (call, callback) => {
  try {
    callback(null, respond(call.request));
  } catch (error) {
    callback({ code: grpc.status.INTERNAL, message: String(error) });
  }
};
const definitionOf = (path, request, response) => ({
  path,
  requestStream: false,
  responseStream: false,
  requestSerialize: coder(request).encode,
  requestDeserialize: coder(request).decode,
  responseSerialize: coder(response).encode,
  responseDeserialize: coder(response).decode,
});
server.addService(
  Object.fromEntries(
    Object.entries(calls).map(([name, [request, response]]) => [
      name,
      definitionOf(`/tfplugin5.Provider/${name}`, message(request), message(response)),
    ]),
  ),
  Object.fromEntries(Object.entries(calls).map(([name, [, , respond]]) => [name, answer(respond)])),
);
// go-plugin asks its plugin to go by this, and kills it two seconds later when it does not.
server.addService(
  { Shutdown: definitionOf('/plugin.GRPCController/Shutdown', message('Nothing'), message('Nothing')) },
  {
    Shutdown: (_call, callback) => {
      callback(null, {});
      server.tryShutdown(() => process.exit(0));
    },
  },
);

server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) {
    console.error(String(error));
    process.exit(1);
  }
  process.stdout.write(`1|5|tcp|127.0.0.1:${port}|grpc\n`);
});
// A parent that was killed asks nobody to go; go-plugin hands on its own stdin, which tells nothing.
const parent = process.ppid;
setInterval(() => process.ppid !== parent && process.exit(0), 1_000).unref();
