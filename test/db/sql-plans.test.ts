/** Every statement is prepared against the migrated schema, and its plan must use the index that it names. */
import assert from 'node:assert/strict';
import pg from 'pg';
import * as sql from '../../src/activities/sql.ts';
import { grantToWorker } from '../../src/migrate/grants.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

const ROWS = 20_000;
const ROW_ID = '00000000-0000-4000-8000-000000000077';
const CONTENT: sql.RowContent = {
  rowId: ROW_ID,
  correlationId: 'correlation-77',
  studentId: 'student-7',
  topic: 'Photosynthesis',
  learningObjective: 'Explain it',
  gradeLevel: '9th Grade',
  durationMinutes: 10,
  organizationId: 'school-3',
  metadata: { content_sha256: 'abc' },
};
const FAILURE: sql.RowFailure = {
  stage: 'validation',
  message: 'no student_id',
  details: { code: 'invalid_fields' },
};
const COMPLETION: sql.Completion = {
  scriptText: 'Once upon a time',
  videoUrl: null,
  thumbnailUrl: null,
  failures: 1,
  metadata: { delivered: ['text'] },
};

/** One statement for each function of sql.ts that makes one, under its name. */
const STATEMENTS: Readonly<Record<string, sql.Statement>> = {
  insertRequest: sql.insertRequest({ ...CONTENT, rowId: ROW_ID.replace('77', '78') }, 'run-1'),
  insertRequestOrFail: sql.insertRequestOrFail({ ...CONTENT, rowId: ROW_ID.replace('77', '78') }, 'run-1'),
  findOwnKey: sql.findOwnKey('content_requests_pkey'),
  findRequestForUpdate: sql.findRequestForUpdate(ROW_ID, '2026-11-24T09:00:00.000Z'),
  findRowIdByCorrelation: sql.findRowIdByCorrelation('correlation-77'),
  takeOverRequest: sql.takeOverRequest(CONTENT, 'run-1', ['pending', 'failed']),
  startGeneration: sql.startGeneration(ROW_ID, 'run-1', 0),
  storeScript: sql.storeScript(ROW_ID, 'run-1', 'script', 0, { usage: {} }),
  storeMedium: sql.storeMedium(ROW_ID, 'run-1', {
    videoUrl: 'https://v',
    thumbnailUrl: null,
    metadata: {},
    usage: { video: {} },
  }),
  startMedium: sql.startMedium(ROW_ID, 'run-1', { medium: 'video', failures: 0, progress: 65 }),
  markMedium: sql.markMedium(ROW_ID, 'run-1', 'video', 80),
  countFailure: sql.countFailure(ROW_ID, 'run-1', 1),
  completeRequest: sql.completeRequest(ROW_ID, 'run-1', COMPLETION),
  failRequest: sql.failRequest(ROW_ID, 'run-1', FAILURE, 1, null),
  cancelRequest: sql.cancelRequest(ROW_ID, 'run-1'),
  findOwner: sql.findOwner(ROW_ID),
  rejectRequestById: sql.rejectRequestById(ROW_ID, FAILURE),
  rejectRequestByCorrelation: sql.rejectRequestByCorrelation('correlation-77', FAILURE),
  readEnumLabels: sql.readEnumLabels(),
  readColumns: sql.readColumns(),
};

/**
 * migrations/add_compound_indexes… adds an index that begins with the same column, and the planner rates both alike: it
 * may take either. Without that file, or after its rollback, it must be the one that is named.
 */
const AS_GOOD: Readonly<Record<string, string>> = {
  content_requests_correlation_id_key: 'idx_content_requests_correlation_status',
};

interface Plan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly Plans?: readonly Plan[];
}

const nodes = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodes)];

/** `custom`: what is sent, for these values; `generic`: for any values, as a pooler that prepares statements itself has it. */
type Mode = 'generic' | 'custom';

describe('the plans of the statements', () => {
  let postgres: TestPostgres;
  let client: pg.Client;

  before(async () => {
    postgres = await startPostgres();
    client = new pg.Client(await postgres.createDatabase('plans', await postgres.templateDatabase()));
    await client.connect();
    // What a year leaves behind: nearly all ended, a few open, a few hundred students, some organizations.
    await client.query(
      `insert into content_requests
         (id, correlation_id, student_id, topic, status, created_at, started_at, completed_at, failed_at, error_stage,
          script_text, organization_id, owner_token, request_metadata)
       select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
              'correlation-' || n, 'student-' || n % 300, 'topic ' || n % 50, status::content_request_status,
              now() - n * interval '10 minutes', now() - n * interval '9 minutes',
              case when status = 'completed' then now() end, case when status = 'failed' then now() end,
              case when status = 'failed' then 'script_generation' end,
              case when status = 'completed' then 'script' end,
              case when n % 3 = 0 then 'school-' || n % 20 end, 'run-' || n, '{"content_sha256": "abc"}'
         from (select n, case when n % 20 = 0 then 'failed' when n % 199 = 0 then 'pending' else 'completed' end as status
                 from generate_series(1, $1) as n) as numbered`,
      [ROWS],
    );
    await client.query('analyze');
  });
  after(async () => {
    await client.end();
    await postgres.stop();
  });

  async function planOf(statement: sql.Statement, mode: Mode): Promise<Plan[]> {
    await client.query(`set plan_cache_mode = force_${mode}_plan`);
    await client.query(`prepare ${statement.name} as ${statement.text}`);
    try {
      const values = statement.values.length === 0 ? '' : `(${statement.values.map(literal).join(', ')})`;
      const { rows } = await client.query<{ 'QUERY PLAN': readonly { Plan: Plan }[] }>(
        `explain (format json) execute ${statement.name}${values}`,
      );
      return rows.flatMap((row) => row['QUERY PLAN'].flatMap(({ Plan }) => nodes(Plan)));
    } finally {
      await client.query(`deallocate ${statement.name}`);
    }
  }

  async function faultsOf(statement: sql.Statement, mode: Mode): Promise<string[]> {
    const plan = await planOf(statement, mode);
    const faults = plan
      .filter((node) => node['Node Type'] === 'Seq Scan' && node['Relation Name'] === 'content_requests')
      .map(() => 'reads the whole table');
    const used = plan.flatMap((node) => node['Index Name'] ?? []);
    const fit = statement.index === null ? [] : [statement.index, AS_GOOD[statement.index]];
    if (fit.length > 0 && !used.some((index) => fit.includes(index))) {
      faults.push(`uses ${used.join(', ') || 'no index'}, not ${statement.index}`);
    }
    return faults;
  }

  /** What `change` does to the schema is undone afterwards. */
  async function withChange<T>(change: string, look: () => Promise<T>): Promise<T> {
    await client.query('begin');
    try {
      await client.query(change);
      return await look();
    } finally {
      await client.query('rollback');
    }
  }

  for (const [name, statement] of Object.entries(STATEMENTS)) {
    const { index } = statement;
    for (const mode of ['generic', 'custom'] as const) {
      it(`${name}: ${index ?? 'no index'}, ${mode} plan`, async () => {
        assert.deepEqual(await faultsOf(statement, mode), []);
      });
    }
    if (index === null) continue;
    const other = AS_GOOD[index];
    const dropOther = other === undefined ? '' : `drop index ${other};`;

    if (other !== undefined) {
      it(`${name}: also without ${other}`, async () => {
        assert.deepEqual(await withChange(dropOther, () => faultsOf(statement, 'generic')), []);
      });
    }

    it(`the twin: ${name} is found out when its index is dropped`, async () => {
      const change = `${dropOther} alter table content_requests drop constraint ${index} cascade`;
      for (const mode of ['generic', 'custom'] as const) {
        assert.notDeepEqual(await withChange(change, () => faultsOf(statement, mode)), []);
      }
      assert.deepEqual(await faultsOf(statement, 'generic'), [], 'the index is back');
    });
  }

  it('the other twin: a statement that no index serves reads the whole table', async () => {
    const slow = { name: 'slow', text: 'select id from content_requests where topic = $1', values: ['x'], index: null };
    assert.deepEqual(await faultsOf(slow, 'generic'), ['reads the whole table']);
  });

  describe('as a user that has what migrate grants to the worker, and nothing else', () => {
    const asWorker = (grants: () => Promise<void>, look: () => Promise<void>): Promise<void> =>
      withChange('create role worker_alone', async () => {
        await grants();
        await client.query('set local role worker_alone');
        await look();
      });
    const granted = (): Promise<void> => grantToWorker(client, 'worker_alone');

    // Permissions are looked at when a plan is made ready, which explain does too.
    for (const [name, statement] of Object.entries(STATEMENTS)) {
      it(`${name} is allowed`, () =>
        asWorker(granted, async () => {
          await planOf(statement, 'custom');
        }));
    }

    it('a row can be made and changed, with the lines that its triggers write', () =>
      asWorker(granted, async () => {
        const id = '00000000-0000-4000-8000-0000000aaaaa';
        const { text, values } = sql.insertRequest({ ...CONTENT, rowId: id, correlationId: 'alone' }, 'run-alone');
        assert.equal((await client.query(text, [...values])).rowCount, 1, 'made');
        const cancel = sql.cancelRequest(id, 'run-alone');
        assert.equal((await client.query(cancel.text, [...cancel.values])).rowCount, 1, 'changed');
        await client.query('reset role');
        const events = await client.query('select from request_events where request_id = $1', [id]);
        assert.equal(events.rowCount, 2, 'two lines');
      }));

    for (const refused of ['delete from content_requests', 'truncate content_requests', 'select from request_events']) {
      it(`the twin: ${refused} is not`, () =>
        asWorker(granted, () => assert.rejects(client.query(refused), { code: '42501' })));
    }

    it('the other twin: without the grants no row can be read', () =>
      asWorker(
        () => Promise.resolve(),
        () => assert.rejects(client.query('select from content_requests'), { code: '42501' }),
      ));
  });

  it('there is a plan here for every statement of sql.ts', () => {
    const functions = Object.entries(sql)
      .filter(([, value]) => typeof value === 'function')
      .map(([name]) => name);
    assert.deepEqual(Object.keys(STATEMENTS).sort(), functions.sort());
  });

  it('names are unique, and short enough that PostgreSQL does not cut them', () => {
    // They stand in errors and letters: a name must tell which statement it was.
    const names = Object.values(STATEMENTS).map(({ name }) => name);
    assert.deepEqual([...new Set(names)], names);
    for (const name of names) assert.match(name, /^[a-z_]{1,63}$/);
  });

  it('a name has one text, whatever the values', () => {
    const other = { ...CONTENT, learningObjective: null, gradeLevel: null, durationMinutes: null, metadata: {} };
    assert.equal(sql.insertRequest(other, 'x').text, STATEMENTS['insertRequest']?.text);
    assert.equal(sql.takeOverRequest(other, 'x', []).text, STATEMENTS['takeOverRequest']?.text);
    assert.equal(sql.failRequest('x', 'y', FAILURE, 9, '2026-11-24T00:00:00Z').text, STATEMENTS['failRequest']?.text);
  });
});

/** EXECUTE takes no parameters of its own, so values are written out as node-postgres would send them: as text. */
function literal(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return pg.escapeLiteral(value);
  if (Array.isArray(value)) return pg.escapeLiteral(`{${value.join(',')}}`);
  throw new Error(`no literal for ${typeof value}`);
}
