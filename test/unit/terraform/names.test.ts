/** Names, policies and limits in terraform are those of the code. */
import assert from 'node:assert/strict';
import { NAMES } from '../../../src/contract/names.ts';
import { SETTINGS } from '../../../src/settings.ts';
import { block, readTerraform, type TerraformFiles, type Value } from '../../support/terraform/files.ts';

const defaultOf = (name: string): unknown => {
  const setting = SETTINGS.find((each) => each.name === name);
  assert.ok(setting !== undefined && 'default' in setting, `${name} has no default`);
  return setting.default;
};

const asText = (value: Value | undefined): string => {
  assert.ok(typeof value === 'string', 'no text');
  return value;
};

describe('terraform: names and values of the code', () => {
  let files: TerraformFiles;
  before(async () => {
    files = await readTerraform();
  });

  it('names are spelled as in contract/names.ts', () => {
    const { topic, subscription, dead_letter_topic, dead_letter_subscription } = files.locals;
    assert.deepEqual(
      { topic, subscription, deadLetterTopic: dead_letter_topic, deadLetterSubscription: dead_letter_subscription },
      {
        topic: NAMES.topic,
        subscription: NAMES.subscription,
        deadLetterTopic: NAMES.deadLetterTopic,
        deadLetterSubscription: NAMES.deadLetterSubscription,
      },
    );
  });

  it('names with an environment are the code’s in dev', () => {
    const dev = (text: unknown): string =>
      String(text)
        .replaceAll('${var.environment}', 'dev')
        .replaceAll('${local.prefix}', 'dev-vividly')
        .replaceAll('${var.region}', NAMES.region)
        .replaceAll('${local.registry_project}', NAMES.project)
        .replaceAll('${local.repository}', asText(files.locals['repository']));
    assert.equal(dev(files.locals['prefix']), 'dev-vividly', 'prefix');
    assert.equal(dev(files.locals['job']), NAMES.job, 'job');
    assert.equal(dev(files.locals['database']), NAMES.database, 'database');
    assert.equal(dev(files.locals['image']), NAMES.image, 'image');
  });

  it('the subscription keeps what design and bridge count on', () => {
    const requests = files.resources['google_pubsub_subscription.requests'];
    assert.equal(files.locals['ack_deadline_seconds'], defaultOf('BRIDGE_ACK_DEADLINE_SECONDS'), 'ack deadline');
    assert.equal(files.locals['retention'], '2678400s', '31 days');
    assert.deepEqual(block(requests, 'expiration_policy'), { ttl: '' });
    assert.deepEqual(block(requests, 'retry_policy'), { minimum_backoff: '10s', maximum_backoff: '600s' });
    assert.equal(block(requests, 'dead_letter_policy')['max_delivery_attempts'], 100, 'attempts');
    assert.equal(requests?.['filter'], undefined, 'no filter');
  });

  it('what must not be lost cannot be destroyed', () => {
    const kept = Object.keys(files.resources).filter((address) => {
      const fields = files.resources[address];
      return fields?.['lifecycle'] !== undefined && block(fields, 'lifecycle')['prevent_destroy'] === true;
    });
    assert.deepEqual(kept.sort(), [
      'google_pubsub_subscription.dead_letters',
      'google_pubsub_subscription.requests',
      'google_pubsub_topic.dead_letters',
      'google_pubsub_topic.requests',
      'google_secret_manager_secret.content',
      'google_sql_database.content',
      'google_sql_database_instance.content',
    ]);
  });

  it('of the processes only the bridge has a role of Pub/Sub', () => {
    const others = Object.entries(files.resources)
      .filter(([address]) => address.startsWith('google_pubsub_') && address.includes('_iam_member.'))
      .map(([address, { member }]) => `${address.replace(/^.*\./, '')} ${asText(member)}`)
      .filter((each) => /worker|migrate|scheduler/.test(each));
    assert.deepEqual(others, []);
  });

  it('no secret has its value in terraform', () => {
    const types = Object.keys(files.resources).map((address) => address.replace(/\..*$/, ''));
    assert.ok(types.includes('google_secret_manager_secret'), 'the twin: types are read');
    assert.deepEqual(
      types.filter((type) => /secret_version$|^google_sql_user$|service_account_key$/.test(type)),
      [],
    );
  });

  it('the image’s own settings are left to the image', () => {
    const text = JSON.stringify(files.locals);
    assert.ok(text.includes('WORKER_VERSIONING'), 'the twin: settings are seen');
    for (const name of ['BUILD_ID', 'COMMIT_SHA', 'WORKER_WORKFLOW_BUNDLE']) {
      assert.ok(!text.includes(name), `${name} is set by terraform too`);
    }
  });
});
