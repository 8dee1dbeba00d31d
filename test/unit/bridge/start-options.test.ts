import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parse } from '../../../src/contract/message.ts';
import { DEFAULT_RETRY_POLICY } from '../../../src/contract/retry-policy.ts';
import { processOptions, rejectOptions, summaryLine } from '../../../src/bridge/start-options.ts';

describe('start options', () => {
  const nowhere = { taskQueue: 'queue', logsProject: null };
  const reject = { lookup: { correlationId: 'c1' }, code: 'not_json', detail: 'd', messageId: 'm1' } as const;
  const body = JSON.stringify({
    correlation_id: 'c1',
    student_id: 'STUDENT',
    topic: 'Cells',
    grade_level: 9,
    organization_id: 'org',
    environment: 'dev',
  });
  const parsed = parse(Buffer.from(body), {});
  assert.ok(parsed.kind === 'request');
  const source = { messageId: 'm1', publishTime: '2026-01-01T00:00:00Z', orderingKey: null, attributes: {}, body };
  const options = processOptions(
    { request: parsed.request, contentHash: parsed.contentHash, source, retry: DEFAULT_RETRY_POLICY },
    { taskQueue: 'queue', logsProject: 'p' },
    'next',
  );

  it('identifies the run by the row, keeps the content in the memo, and lets only failed runs be followed', () => {
    assert.equal(options.workflowId, `content-request/${parsed.request.rowId}`);
    assert.equal(options.workflowIdReusePolicy, 'ALLOW_DUPLICATE_FAILED_ONLY');
    assert.equal(options.workflowIdConflictPolicy, 'FAIL');
    assert.deepEqual(options.memo, { contentHash: parsed.contentHash, messageId: 'm1' });
    assert.equal(options.staticSummary, 'Cells · 9');
  });

  it('the first run of a row says so, and is refused where there was another', () => {
    const first = processOptions(options.args[0], { taskQueue: 'queue', logsProject: 'p' }, 'first');
    assert.equal(first.workflowIdReusePolicy, 'REJECT_DUPLICATE');
    assert.deepEqual(first.memo, { ...options.memo, first: true });
  });

  it('puts no student text into search attributes', () => {
    assert.deepEqual(
      options.typedSearchAttributes instanceof Array
        ? options.typedSearchAttributes.map(({ key, value }) => [key.name, key.type, value])
        : [],
      [
        ['CorrelationId', 'KEYWORD', 'c1'],
        ['OrganizationId', 'KEYWORD', 'org'],
        ['Environment', 'KEYWORD', 'dev'],
      ],
    );
    assert.doesNotMatch(JSON.stringify(options.typedSearchAttributes), /STUDENT|Cells/);
    assert.doesNotMatch(options.staticDetails ?? '', /STUDENT/);
  });

  it('links to what was logged about the request, whatever its id is made of', () => {
    assert.match(
      options.staticDetails ?? '',
      /\[logs\]\(https:\/\/console\.cloud\.google\.com\/logs\/query;query=jsonPayload\.correlation_id%3D%22c1%22\?project=p\)$/,
    );
    const request = { ...parsed.request, correlationId: '")](http://evil) \'' };
    const { staticDetails = '' } = processOptions(
      { request, contentHash: '', source, retry: DEFAULT_RETRY_POLICY },
      { taskQueue: 'queue', logsProject: 'p' },
      'first',
    );
    assert.doesNotMatch(staticDetails.split('\n').at(-1) ?? '', /evil\)|http:/);
    assert.doesNotMatch(rejectOptions(reject, null, nowhere).staticDetails ?? '', /console/);
  });

  it('rejections have an id of their own: content-request/… is held by valid messages only', () => {
    assert.equal(rejectOptions(reject, 'c1', nowhere).workflowId, 'content-rejection/m1');
    assert.equal(rejectOptions(reject, null, nowhere).typedSearchAttributes, undefined);
  });
});

describe('summary line', () => {
  it('shows markup as text and keeps to one line', () => {
    assert.equal(summaryLine('![x](http://e)\n<b>`', '9'), '!\\[x\\](http://e) \\<b\\>\\` · 9');
    assert.equal(summaryLine('\u0000', null), '–');
  });

  it('stays within 200 bytes, ends in no half escape, and holds no control character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 500 }), fc.option(fc.string()), (topic, grade) => {
        const line = summaryLine(topic.toWellFormed(), grade);
        assert.ok(Buffer.byteLength(line) <= 200 && line.length > 0);
        assert.doesNotMatch(line, /\p{Cc}/u);
        assert.equal((/\\*$/.exec(line)?.[0].length ?? 0) % 2, 0);
      }),
    );
    assert.equal(summaryLine('['.repeat(300), null).length, 200);
    assert.equal(summaryLine(`a${'['.repeat(300)}`, null), `a${'\\['.repeat(99)}`);
  });
});
