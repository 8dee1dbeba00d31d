/** Reads one setting after another, as settings.ts describes it, and gathers the faults; none of them shows a secret. */
import { tlsFileFault, tlsOf, tlsWarning } from './postgres-connection.ts';
import { SETTINGS, type ProcessName, type Setting, type SettingName } from './settings.ts';

export type Env = Readonly<Record<string, string | undefined>>;

/** Thrown for a wrong environment. The mains print the message, without a stack, and exit 2. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** One line each: variable, what is wrong, how to mend it. */
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

export const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/i;
export const TRUE = /^(true|1|yes|on)$/i;
export const FALSE = /^(false|0|no|off)$/i;

/** URL.parse came with Node 22.1. The error of `new URL` quotes its input, so it is dropped. */
function parseUrl(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

/** pg decodes each part, and its URIError would end the process without a word of what to mend. */
function isDecodable(url: string, { username, password, hostname, pathname }: URL): boolean {
  // pg-connection-string takes a % that is followed by no hex digits for itself.
  if (/%[^a-f0-9]|%[a-f0-9][^a-f0-9]/i.test(url)) return true;
  try {
    for (const part of [username, password, hostname, pathname]) decodeURIComponent(part);
    return true;
  } catch {
    return false;
  }
}

/** Reads one setting after another and gathers the faults. After a fault it answers with a stand-in. */
export class Reader {
  readonly #env: Env;
  readonly #process: ProcessName;
  readonly #faults: string[] = [];
  readonly #faulty = new Set<string>();
  readonly #warnings: string[] = [];

  constructor(env: Env, process: ProcessName) {
    this.#env = env;
    this.#process = process;
  }

  /** Blank = unset. Trimmed: a secret made with `echo` ends in a newline. */
  raw(name: string): string | undefined {
    const value = this.#env[name]?.trim();
    return value === '' ? undefined : value;
  }

  fault(name: string, wrong: string, fix: string): void {
    if (this.#faulty.has(name)) return;
    this.#faulty.add(name);
    this.#faults.push(`${name}: ${wrong}; ${fix}.`);
  }

  /** What is done as it is asked for, and should be known of. */
  warn(text: string): void {
    this.#warnings.push(text);
  }

  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /** A rule between settings: told only where each of them is sound by itself. */
  check(name: SettingName, others: readonly SettingName[], holds: boolean, wrong: string, fix: string): void {
    if (!holds && ![name, ...others].some((each) => this.#faulty.has(each))) this.fault(name, wrong, fix);
  }

  done<T>(config: T): T {
    if (this.#faults.length > 0) throw new ConfigError(this.#faults);
    return config;
  }

  text(name: SettingName<'text'>): string | null {
    const value = this.raw(name);
    if (value === undefined) return null;
    if (/\p{Cc}/u.test(value) && name !== 'SECRET_KEY') this.fault(name, 'holds control characters', 'remove them');
    return value;
  }

  /** Tokens, keys and students' words go there: in the clear only to this machine. */
  providerUrl(name: SettingName<'text'>, may: { readonly query: boolean }): string | null {
    const value = this.text(name);
    if (value === null) return null;
    const url = parseUrl(value);
    if (url === null || !['http:', 'https:'].includes(url.protocol)) {
      this.fault(name, 'is no URL', 'give it whole, as in https://host/path');
    } else if (url.protocol === 'http:' && !LOOPBACK.test(url.hostname)) {
      this.fault(name, 'is http, and not on this machine', 'use https');
    } else if (url.username !== '' || url.password !== '' || url.hash !== '') {
      this.fault(
        name,
        'holds a user, a password or a fragment',
        'remove them: calls are signed with a key of their own',
      );
    } else if (!may.query && url.search !== '') {
      this.fault(name, 'holds a query, and paths are added to it', 'remove the query');
    }
    return value;
  }

  number(name: SettingName<'integer' | 'number'>): number {
    return this.optionalNumber(name) ?? 0;
  }

  optionalNumber(name: SettingName<'integer' | 'number'>): number | null {
    const setting = this.#setting(name);
    if (setting.kind !== 'integer' && setting.kind !== 'number') throw new TypeError(`${name} is no number`);
    const { kind, min, max, unit } = setting;
    const value = this.raw(name);
    if (value === undefined) return setting.default;
    const range = `set it to ${kind === 'integer' ? 'a whole number' : 'a number'} from ${String(min)} to ${String(max)} (${unit})`;
    // Number() would take 0x10, 1e3 and Infinity. The value is not shown: it may be a secret in the wrong place.
    if (!(kind === 'integer' ? /^\d{1,15}$/ : /^\d{1,15}(\.\d{1,15})?$/).test(value)) {
      this.fault(name, `is not ${kind === 'integer' ? 'a whole number' : 'a decimal number'}`, range);
    } else if (Number(value) < min || Number(value) > max) {
      this.fault(name, 'is out of range', range);
    } else {
      return Number(value);
    }
    return setting.default;
  }

  boolean(name: SettingName<'boolean'>): boolean {
    const setting = this.#setting(name);
    const value = this.raw(name);
    if (value === undefined) return setting.kind === 'boolean' && setting.default;
    if (!TRUE.test(value) && !FALSE.test(value)) this.fault(name, 'is neither true nor false', 'set it to 1 or 0');
    return TRUE.test(value);
  }

  choice<const T extends string>(name: SettingName<'choice'>, values: readonly T[]): T | null {
    const value = this.raw(name)?.toLowerCase();
    if (value === undefined) return null;
    const found = values.find((each) => each === value);
    if (found === undefined)
      this.fault(name, 'is not one of the values that it may have', `set it to ${values.join(', ')}`);
    return found ?? null;
  }

  /** A short resource name. Full paths are refused: `projects/p/topics/t` inside another path names nothing. */
  resource(name: SettingName<'resource'>): string | null {
    const setting = this.#setting(name);
    if (setting.kind !== 'resource') throw new TypeError(`${name} is no resource name`);
    const value = this.raw(name);
    const fix = `set it to the short name, as in ${setting.fix}`;
    if (value === undefined) {
      if (this.#isRequired(setting)) this.fault(name, 'is not set', fix);
      return null;
    }
    // https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names; a project may be domain-scoped (example.com:name).
    if (!/^[A-Za-z][A-Za-z0-9._~+%:-]{0,254}$/.test(value)) this.fault(name, 'is not a resource name', fix);
    return value;
  }

  databaseUrl(name: SettingName<'url'>): string {
    const setting = this.#setting(name);
    if (setting.kind !== 'url') throw new TypeError(`${name} is no URL`);
    const value = this.raw(name);
    const fix = `set it as in ${setting.fix}`;
    if (value === undefined) {
      if (this.#isRequired(setting)) this.fault(name, 'is not set', fix);
      return '';
    }
    if (!/^postgres(ql)?:\/\//.test(value)) {
      this.fault(name, 'does not begin with postgresql:// or postgres://', fix);
      return '';
    }
    // user@/database is libpq's socket form; URL refuses an empty host after credentials, as pg-connection-string knows too.
    const socket = /^[^/]+:\/\/[^/?#]*@\//.test(value);
    const parsed = parseUrl(socket ? value.replace('@/', '@socket/') : value);
    if (parsed === null) {
      this.fault(name, 'is not a URL', `${fix}, with special characters of the password percent-encoded`);
      return '';
    }
    if ((socket || parsed.hostname === '') && !parsed.searchParams.get('host')) this.fault(name, 'names no host', fix);
    else if (parsed.pathname.replace(/^\//, '') === '') this.fault(name, 'names no database', fix);
    else if (parsed.hash !== '')
      this.fault(name, 'holds a bare #', `${fix}, with special characters of the password percent-encoded`);
    else if (!isDecodable(value, parsed)) {
      this.fault(name, 'holds a % that begins no character of UTF-8', `${fix}, with % itself written as %25`);
    } else this.#databaseTls(name, value);
    return value;
  }

  #databaseTls(name: SettingName<'url'>, url: string): void {
    const tls = tlsOf(url);
    const fault = tls.kind === 'fault' ? tls : tlsFileFault(url);
    if (fault !== null) this.fault(name, fault.wrong, fault.fix);
    const warning = tlsWarning(url);
    if (warning !== null) this.warn(warning);
  }

  /** A copy for envconfig without the blanks: to it a blank address is an address. */
  temporalEnv(): Record<string, string> {
    const env: Record<string, string> = {};
    for (const [name, value] of Object.entries(this.#env)) {
      const trimmed = value?.trim();
      // A blank TEMPORAL_GRPC_META_* has a meaning of its own: it removes what the file sets.
      if (trimmed === undefined || (trimmed === '' && !name.startsWith('TEMPORAL_GRPC_META_'))) continue;
      env[name] = trimmed;
    }
    return env;
  }

  #isRequired(setting: { readonly requiredBy: readonly ProcessName[] }): boolean {
    return setting.requiredBy.includes(this.#process);
  }

  #setting(name: SettingName): Setting {
    const setting = SETTINGS.find((each) => each.name === name);
    if (setting === undefined) throw new TypeError(`no setting ${name}`);
    return setting;
  }
}
