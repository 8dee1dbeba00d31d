/** What may be in the image, and what may not: judged on its tree. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

export const PROCESSES = ['bridge', 'worker', 'migrate', 'rollout', 'smoke', 'letters'] as const;

const NEEDED = [
  'package.json',
  'dist/workflow-bundle.cjs',
  'migrations/create_content_requests.sql',
  ...PROCESSES.map((name) => `dist/${name}/main.js`),
];

/** Of our own part; packages hold examples of keys and sources. */
const NOT_OURS: readonly (readonly [RegExp, string])[] = [
  [/\.ts$/, 'a source'],
  [/(^|\/)(\.git|\.npmrc|\.env[^/]*|test|coverage|\.data)(\/|$)/, 'not for an image'],
  [/^dist\/dev\//, 'of the embedded stack'],
  [/\.(pem|key|p12|tfstate|tfvars)$/, 'may hold a secret'],
];
const SECRET = /-----BEGIN [A-Z ]*PRIVATE KEY-----|"private_key"\s*:|AIza[0-9A-Za-z_-]{35}|_authToken=/;
const OTHERS_READ = 0o004;
const OTHERS_WRITE = 0o002;

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly devOptional?: boolean }>>;
}

/** @param app The folder that is /app of the image. */
export function contentFaults(app: string, lock: Lock): string[] {
  const faults: string[] = [];
  const files = filesOf(app);
  for (const needed of NEEDED) if (!files.includes(needed)) faults.push(`${needed} is missing`);
  for (const file of files) {
    const { mode } = statSync(path.join(app, file));
    if ((mode & OTHERS_READ) === 0) faults.push(`${file} cannot be read by the image's user`);
    if ((mode & OTHERS_WRITE) !== 0) faults.push(`${file} can be changed by the image's user`);
    if (file.startsWith('node_modules/')) continue;
    for (const [pattern, what] of NOT_OURS) if (pattern.test(file)) faults.push(`${file} is ${what}`);
    if (SECRET.test(readFileSync(path.join(app, file), 'utf8'))) faults.push(`${file} holds a secret`);
  }
  const packages = new Set(files.flatMap((file) => packageOf(file) ?? []));
  for (const [name, { dev, devOptional }] of Object.entries(lock.packages)) {
    if ((dev === true || devOptional === true) && packages.has(name)) faults.push(`${name} is for development`);
  }
  if (!packages.has('node_modules/@temporalio/worker')) faults.push('the production packages are missing');
  return faults;
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));
}

/** As the lockfile names it: the folder of a package.json, of nested packages too. */
function packageOf(file: string): string | null {
  return (
    /^((?:node_modules\/(?:@[^/]+\/)?[^/]+\/(?:.*\/)?)*?node_modules\/(?:@[^/]+\/)?[^/]+)\/package\.json$/.exec(
      file,
    )?.[1] ?? null
  );
}
