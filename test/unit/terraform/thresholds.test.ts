/** From which values on an alert fires: as the deployment plan says, and as the settings of the processes make sense of. */
import assert from 'node:assert/strict';
import { SETTINGS } from '../../../src/settings.ts';
import { readTerraform, type Value } from '../../support/terraform/files.ts';

type Alert = Readonly<Record<string, Value>>;

const seconds = (name: string): number => {
  const setting = SETTINGS.find((each) => each.name === name);
  assert.ok(setting !== undefined && 'default' in setting, `${name} has no default`);
  return Number(setting.default) / 1_000;
};

const text = (value: Value | undefined): string => {
  assert.ok(typeof value === 'string', `no text: ${JSON.stringify(value)}`);
  return value;
};

describe('terraform: thresholds', () => {
  let locals: Readonly<Record<string, Value>>;
  let thresholds: Readonly<Record<string, Alert>>;
  before(async () => {
    ({ locals } = await readTerraform());
    thresholds = locals['thresholds'] as Readonly<Record<string, Alert>>;
  });

  it('backlog: more than 100, and no burst of seconds', () => {
    const { above, duration, filter } = thresholds['backlog'] ?? {};
    assert.deepEqual({ above, duration }, { above: 100, duration: 300 });
    assert.match(text(filter), /subscription_metric\.requests\}num_undelivered_messages/);
  });

  it('the oldest message: the five minutes of the plan, unless two runs and what the bridge bears are longer', () => {
    const formula = /^\$\{max\(300, 2 \* var\.bridge\.interval_minutes \* 60 \+ (\d+)\)\}$/;
    const [, bears = ''] = formula.exec(text(locals['oldest_message_seconds'])) ?? [];
    // The start of a container has no setting: 60 s.
    assert.equal(Number(bears), 60 + seconds('BRIDGE_OUTAGE_LIMIT_MS') + seconds('BRIDGE_PULL_TIMEOUT_MS'));
    assert.equal(thresholds['oldest_message']?.['above'], '${local.oldest_message_seconds}');
    assert.match(
      text(thresholds['oldest_message']['filter']),
      /subscription_metric\.requests\}oldest_unacked_message_age/,
    );
  });

  it('dead letters: one is enough, of the subscription that keeps them; ten days before the oldest is lost', () => {
    const { dead_letters: letters, dead_letter_age: age } = thresholds;
    assert.equal(letters?.['above'], 0);
    assert.match(text(letters['filter']), /subscription_metric\.letters\}num_undelivered_messages/);
    const [, days = ''] = /^\$\{(\d+) \* 86400\}$/.exec(text(age?.['above'])) ?? [];
    assert.equal(Number(days), 21);
    assert.equal(Number(days) + 10, Number(/^(\d+)s$/.exec(text(locals['retention']))?.[1]) / 86_400);
  });

  it('a failed job, a lost connection, runs that stay open, rejections: the first is told', () => {
    const first = ['job_failed', 'database_connection', 'runs_open_too_long', 'rejections'];
    assert.deepEqual(
      first.map((key) => thresholds[key]?.['above']),
      [0, 0, 0, 0],
    );
    assert.match(text(thresholds['job_failed']?.['filter']), /completed_execution_count.*result = \\?"failed/);
  });

  it('nobody polls: two bridges, one after another, have seen it', () => {
    assert.equal(thresholds['worker_not_polling']?.['above'], 1);
    assert.equal(locals['bridge_window_seconds'], '${max(300, 3 * var.bridge.interval_minutes * 60)}');
  });

  it('the failure ratio is one: failed of all that ended, over 5 %, of 20 or more', () => {
    const { failure_ratio: ratio } = locals['ratios'] as Readonly<Record<string, Alert>>;
    const query = text(ratio?.['query']);
    const ended = '${local.requests_ended}';
    assert.equal(query, `\${local.requests_failed} / ${ended} > 0.05 and ${ended} >= 20`);
    const all = text(locals['requests_ended']);
    assert.ok(all.includes('local.requests_failed') && all.includes('request_completed'), all);
  });

  it('what a mail says of rejections is what the bridge does', () => {
    const ratio = SETTINGS.find(({ name }) => name === 'BRIDGE_REJECT_ALARM_RATIO');
    assert.equal(ratio !== undefined && 'default' in ratio ? ratio.default : null, 0.2);
    assert.match(text(thresholds['rejections']?.['means']), /a fifth of the last 100/);
  });
});
