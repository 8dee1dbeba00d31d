/** The letters' command as a process: options, signals, what is said, exit code. */
import { Command, Option } from 'commander';
import { whole } from '../arguments.ts';
import { systemClock } from '../bridge/clock.ts';
import { classifyPubsub, type Trouble } from '../bridge/grpc.ts';
import { openPubsub } from '../bridge/pubsub-clients.ts';
import { subscriptionName, topicName } from '../bridge/pubsub-names.ts';
import { ownSignals } from '../bridge/signals.ts';
import { ConfigError, readLettersConfig, type Env, type LettersConfig } from '../config.ts';
import { FAILURE_CODES, REJECTION_CODES } from '../contract/failure.ts';
import { createLogger, inert } from '../log.ts';
import { EXIT_CODE, type End } from './exit.ts';
import { UNDELIVERED, type Choice } from './letter.ts';
import { jsonOf, linesOf, nameOf } from './print.ts';
import { replay } from './publish.ts';
import { settle, type Act, type Settled } from './settle.ts';
import { show } from './show.ts';
import type { WalkDeps, Walked } from './walk.ts';

interface Flags {
  readonly reason?: string;
  readonly limit: number;
  readonly waitSeconds: number;
  readonly json?: true;
  readonly body?: true;
  readonly all?: true;
  readonly dryRun?: true;
}

interface Open extends WalkDeps {
  readonly config: LettersConfig;
  readonly publisher: Parameters<typeof replay>[0];
}

type Verb = (open: Open, choice: Choice, flags: Flags, signal: AbortSignal) => Promise<End>;

async function run(verb: Verb, who: readonly string[], flags: Flags, env: Env): Promise<End> {
  const config = readLettersConfig(env);
  const log = createLogger({ level: 'warn', format: 'pretty', project: null }, {}, process.stderr);
  const signals = ownSignals(log);
  signals.onSecond(() => process.exit(EXIT_CODE.stopped));
  const pubsub = await openPubsub(config.project).catch((error: unknown) => classifyPubsub(error, 'Pub/Sub'));
  if ('kind' in pubsub) return told(pubsub);
  try {
    const open = {
      config,
      publisher: pubsub.publisher,
      subscriber: pubsub.messages,
      subscription: subscriptionName(config.project, config.deadLetterSubscription),
      silentMs: flags.waitSeconds * 1_000,
      clock: systemClock,
      log,
    };
    const choice = { who, reason: flags.reason ?? null, limit: flags.limit };
    return await verb(open, choice, flags, signals.first);
  } finally {
    await pubsub.close();
  }
}

const showThem: Verb = async (open, choice, { json, body }, signal) => {
  const bodies = body === true;
  const { walked, shown } = await show(open, choice, { bodies }, signal);
  for (const each of shown) {
    if (json === true) console.log(jsonOf(each, bodies));
    else console.log(`${linesOf(each, bodies).join('\n')}\n`);
  }
  if (walked.kind === 'enough') console.error(`these are ${String(choice.limit)}, and there are more: see --limit`);
  else if (walked.kind === 'read' && json !== true) console.log(letters(shown.length));
  return endOf(walked, shown.length > 0 || isEverything(choice));
};

const replayThem: Verb = (open, choice, flags, signal) => {
  const topic = topicName(open.config.project, open.config.topic);
  return settleThem(open, choice, flags, signal, 'replayed', (letter) =>
    replay(open.publisher, topic, letter, open.clock),
  );
};

const dropThem: Verb = (open, choice, flags, signal) =>
  settleThem(open, choice, flags, signal, 'dropped', () => Promise.resolve({ kind: 'done', messageId: null }));

async function settleThem(
  open: Open,
  choice: Choice,
  { json, dryRun }: Flags,
  signal: AbortSignal,
  done: 'replayed' | 'dropped',
  each: NonNullable<Act['each']>,
): Promise<End> {
  const outcome = dryRun === true ? `would be ${done}` : done;
  const settled = await settle(
    open,
    choice,
    {
      each: dryRun === true ? null : each,
      onDone: (letter, messageId) => {
        const { id, rowId, correlationId } = letter;
        const line = { outcome, dlq_id: id, row_id: rowId, correlation_id: correlationId, message_id: messageId };
        if (json === true) console.log(inert(JSON.stringify(line)));
        else console.log(`${outcome}: ${nameOf(letter)}${messageId === null ? '' : `, as message ${messageId}`}`);
      },
      onRefused: (letter, error) => console.error(`NOT ${done}: ${nameOf(letter)}: ${error}`),
    },
    signal,
  );
  for (const line of leftovers(settled, choice)) console.error(line);
  if (json !== true) console.log(`${letters(settled.done)} ${outcome}`);
  const end = endOf(settled.walked, settled.done + settled.refused > 0 || isEverything(choice));
  return end === 'done' && settled.refused + settled.notAcked > 0 ? 'some_stay' : end;
}

function leftovers({ walked, copies, notAcked, cameBack }: Settled, { limit }: Choice): string[] {
  return [
    ...(copies > 0 ? [`${String(copies)} more are copies of these`] : []),
    ...(cameBack > 0 ? [`${letters(cameBack)} of these came back at once, and stayed: the cause is not mended`] : []),
    ...(notAcked > 0
      ? [`${letters(notAcked)} could not be acked, and will come again: a second replay is harmless`]
      : []),
    ...(walked.kind === 'enough' ? [`there are more than ${String(limit)}: see --limit`] : []),
  ];
}

const letters = (count: number): string => `${String(count)} ${count === 1 ? 'letter' : 'letters'}`;

/** Nobody was named, so that nothing is an answer, too. */
const isEverything = ({ who, reason }: Choice): boolean => who.length === 0 && reason === null;

function endOf(walked: Walked, found: boolean): End {
  if (walked.kind === 'outage' || walked.kind === 'misconfigured') return told(walked);
  if (walked.kind === 'stopped') return 'stopped';
  if (found) return 'done';
  console.error('no letter is what was asked for');
  return 'nothing_matches';
}

function told(trouble: Trouble): End {
  console.error(`letters: ${trouble.kind === 'outage' ? trouble.error : trouble.problem}`);
  return trouble.kind === 'outage' ? 'pubsub_unavailable' : 'configuration';
}

const REASONS = [...REJECTION_CODES, ...FAILURE_CODES, UNDELIVERED];
const WHO =
  'a letter: its dlq_id or 8 characters of it, request_id, correlation_id, or the id of the message that died';

/** @param argv As process.argv. Ends the process. */
export function runLettersProcess(argv: readonly string[], env: Env): void {
  const ending: { end?: End } = {};
  const program = new Command('letters')
    .description('Dead letters: looks at them, publishes them again as requests, or drops them.')
    .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT_CODE.done : EXIT_CODE.configuration));
  const add = (name: string, description: string, limit: number, verb: Verb): Command => {
    const command = program.command(name, { isDefault: name === 'show' });
    return command
      .description(description)
      .argument('[who...]', WHO)
      .addOption(new Option('--reason <code>', 'all of this dlq_reason').choices(REASONS))
      .option('--limit <n>', 'how many at the most', whole(1, 1_000_000), limit)
      .option('--wait-seconds <n>', 'silent for so long, the subscription counts as read to its end', whole(1, 600), 10)
      .option('--json', 'a line of JSON for each')
      .action(async (who: string[], flags: Flags) => {
        const chosen = who.length > 0 || flags.reason !== undefined || flags.all === true;
        if (!chosen && name !== 'show') {
          command.error(`error: which letters? name them, or give --reason${name === 'replay' ? ' or --all' : ''}`);
        }
        if (flags.all === true && (who.length > 0 || flags.reason !== undefined)) {
          command.error('error: --all is all of them: name none, and give no --reason');
        }
        ending.end = await run(verb, who, flags, env);
      });
  };
  add('show', 'looks at letters, and gives them back', 100, showThem).option(
    '--body',
    "bodies as well: students' words",
  );
  add('replay', 'publishes letters as requests again, as they were; then acks each', 1_000, replayThem)
    .option('--all', 'every letter')
    .option('--dry-run', 'only say which');
  add('drop', 'acks letters that nobody needs any more', 1_000, dropThem).option('--dry-run', 'only say which');

  program.parseAsync(argv).then(
    () => process.exit(EXIT_CODE[ending.end ?? 'unexpected']),
    (error: unknown) => {
      if (error instanceof ConfigError) {
        console.error(error.message);
        process.exit(EXIT_CODE.configuration);
      }
      console.error(error);
      process.exit(EXIT_CODE.unexpected);
    },
  );
}
