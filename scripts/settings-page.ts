/** `npm run docs:settings`: writes docs/settings.md from src/settings.ts; a test refuses a page that lags behind. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Setting, SETTINGS } from '../src/settings.ts';

export const settingsPagePath = fileURLToPath(new URL('../docs/settings.md', import.meta.url));

function valuesOf(setting: Setting): string {
  switch (setting.kind) {
    case 'integer':
    case 'number':
      return `${String(setting.min)} to ${String(setting.max)} ${setting.unit}`;
    case 'boolean':
      return '1 or 0';
    case 'choice':
      return setting.values.join(', ');
    case 'resource':
      return 'short name';
    case 'url':
      return 'URL';
    case 'text':
      return 'text';
    default:
      return setting satisfies never;
  }
}

function defaultOf(setting: Setting): string {
  if (!('default' in setting)) return `required by ${setting.requiredBy.join(', ')}`;
  if (setting.default === null) return '–';
  return `\`${String(setting.kind === 'boolean' ? Number(setting.default) : setting.default)}\``;
}

export function settingsPage(): string {
  const rows = SETTINGS.map((setting: Setting) =>
    [`\`${setting.name}\``, setting.usedBy.join(', '), defaultOf(setting), valuesOf(setting), setting.why].join(' | '),
  );
  return [
    '# Settings',
    '',
    'Every environment variable that a process reads. A process checks all of its own at start and names every fault at',
    'once, with exit code 2. This page is written from `src/settings.ts` by `npm run docs:settings`.',
    '',
    'name | read by | default | values | why',
    '--- | --- | --- | --- | ---',
    ...rows,
    '',
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(settingsPagePath, settingsPage());
