import assert from 'node:assert/strict';
import { ServiceError } from '@temporalio/client';
import { classifyPubsub, classifyTemporal, codeOf } from '../../../src/bridge/grpc.ts';

const error = (code: number, message = 'text'): Error => Object.assign(new Error(message), { code });

describe('classification of Temporal errors', () => {
  const MISCONFIGURED = new Set([3, 5, 7, 16]);
  for (let code = 1; code <= 16; code += 1) {
    const expected = MISCONFIGURED.has(code) ? 'misconfigured' : 'outage';
    it(`code ${String(code)}: ${expected}, also as a cause`, () => {
      assert.equal(classifyTemporal(error(code), 'ns').kind, expected);
      assert.equal(classifyTemporal(new ServiceError('wrapped', { cause: error(code) }), 'ns').kind, expected);
    });
  }

  it('what is unknown is an outage: a message is never judged by it', () => {
    for (const unknown of [new Error('?'), 'text', undefined, { code: 'ECONNREFUSED' }, new TypeError('x')]) {
      assert.equal(classifyTemporal(unknown, 'ns').kind, 'outage');
    }
  });

  it('names the command that mends it', () => {
    const trouble = classifyTemporal(error(3, 'search attribute CorrelationId is not defined'), 'prod');
    assert.ok(trouble.kind === 'misconfigured');
    assert.match(trouble.problem, /temporal operator search-attribute create --namespace prod/);
  });
});

describe('classification of Pub/Sub errors', () => {
  const MISCONFIGURED = new Set([3, 5, 7, 16]);
  for (let code = 1; code <= 16; code += 1) {
    const expected = MISCONFIGURED.has(code) ? 'misconfigured' : 'outage';
    it(`code ${String(code)}: ${expected}`, () => assert.equal(classifyPubsub(error(code), 'x').kind, expected));
  }

  it('missing credentials come without a code', () => {
    const missing = classifyPubsub(new Error('Could not load the default credentials. Browse to …'), 'x');
    assert.equal(missing.kind, 'misconfigured');
    assert.equal(classifyPubsub(new Error('anything else'), 'x').kind, 'outage');
  });
});

describe('codeOf', () => {
  it('finds the first numeric code among the causes, and survives a circle', () => {
    assert.equal(codeOf(new Error('a', { cause: error(14) })), 14);
    const circle = new Error('a');
    circle.cause = circle;
    assert.equal(codeOf(circle), undefined);
    assert.equal(codeOf('text'), undefined);
  });
});
