import assert from 'node:assert/strict';
import fc from 'fast-check';
import { MODALITIES, type ContentRequest } from '../../src/contract/request.ts';
import type { GenerationResult } from '../../src/contract/workflow-io.ts';
import { createGenerator, GeneratorError, type GenerationContext } from '../../src/generators/index.ts';

const REQUEST: ContentRequest = {
  rowId: '11111111-1111-4111-8111-111111111111',
  correlationId: 'c-1',
  studentId: 'student-77',
  topic: 'Photosynthesis',
  gradeLevel: '9th Grade',
  learningObjective: 'Say where the oxygen comes from.',
  durationMinutes: 20,
  organizationId: 'org-1',
  interest: 'basketball',
  environment: null,
  requestedModalities: ['video'],
  preferredModality: 'video',
};

const generator = createGenerator({ kind: 'template' });

function generate(
  change: Partial<ContentRequest> = {},
  context: Partial<GenerationContext> = {},
): Promise<GenerationResult> {
  return generator.generate({ ...REQUEST, ...change }, { signal: new AbortController().signal, ...context });
}

const scriptOf = async (change: Partial<ContentRequest> = {}): Promise<string> => (await generate(change)).scriptText;
const headingsOf = (script: string): string[] => script.split('\n').filter((line) => /^#{1,6} /.test(line));

describe('template generator', () => {
  it('writes a lesson that reads from title to questions', async () => {
    const script = await scriptOf();
    assert.deepEqual(headingsOf(script), [
      '# Photosynthesis',
      '## Objective',
      '## Warm-up (0:00 to 2:00)',
      '## The idea (2:00 to 6:00)',
      '## A closer look (6:00 to 12:00)',
      '## A worked analogy (12:00 to 16:00)',
      '## Your turn (16:00 to 18:00)',
      '## Recap (18:00 to 20:00)',
      '## Questions',
    ]);
    assert.match(script, /high school learners \(grades 9 to 12\) · 9th Grade · 20 minutes/);
    assert.match(script, /## Objective\n\nSay where the oxygen comes from\.\n/);
    assert.match(script, /## A worked analogy [^\n]*\n\nThink of basketball\.\n/);
    assert.equal(script.match(/^\*\*Step \d+\.\*\* /gm)?.length, 3);
    assert.match(script, /## Questions\n\n1\. .*\?\n2\. .*\?\n3\. .*\?\n$/);
    assert.doesNotMatch(script, /undefined|null|NaN|\[object/);
    for (const id of [REQUEST.rowId, REQUEST.correlationId, REQUEST.studentId]) assert.ok(!script.includes(id));
  });

  it('reads as well when the topic is a question', async () => {
    const script = await scriptOf({ topic: 'How do black holes bend light?', interest: 'Basketball' });
    assert.match(script, /^# How do black holes bend light\?$/m);
    assert.match(script, /make sense of the answer\.$/m);
    assert.match(script, /^1\. In your own words: How do black holes bend light\?$/m);
    assert.doesNotMatch(script, /\?[?.,]|what is How|\? cannot/);
  });

  it('is the same for the same request', async () => {
    assert.deepEqual(await generate(), await generate());
  });

  it('fits the grade, however it is written', async () => {
    const audiences: [string | null, RegExp][] = [
      ['K', /kindergarten/],
      ['Kindergarten', /kindergarten/],
      ['1', /kindergarten/],
      ['3rd grade', /elementary/],
      ['5', /elementary/],
      ['Grade 6', /middle/],
      ['8th', /middle/],
      ['9th Grade', /high school/],
      ['12', /high school/],
      ['High School', /high school/],
      ['College', /college/],
      ['None', /any level/],
      [null, /any level/],
      ['13', /any level/],
      ['2026', /any level/],
      ['-3', /any level/],
      ['?? 🦊', /any level/],
    ];
    for (const [gradeLevel, audience] of audiences) {
      const [, , byline = ''] = (await scriptOf({ gradeLevel })).split('\n');
      assert.match(byline, audience, String(gradeLevel));
      assert.doesNotMatch(byline, /None|null/);
    }
    assert.notEqual(await scriptOf({ gradeLevel: '1' }), await scriptOf({ gradeLevel: '12' }));
  });

  it('lasts as long as asked', async () => {
    assert.match(await scriptOf({ durationMinutes: 1 }), /1 minute\*[\s\S]*## Recap \(0:54 to 1:00\)/);
    assert.match(await scriptOf({ durationMinutes: null }), /## Recap \(9:00 to 10:00\)/);
    const lengths = await Promise.all(
      [5, 20, 60].map(async (durationMinutes) => (await scriptOf({ durationMinutes })).length),
    );
    assert.deepEqual(
      lengths,
      [...lengths].sort((a, b) => a - b),
    );
    assert.equal(new Set(lengths).size, 3);
  });

  it('does without interest and objective', async () => {
    for (const interest of [null, '', '  ']) {
      const script = await scriptOf({ interest, learningObjective: null });
      assert.match(script, /## Objective\n\nExplain Photosynthesis/);
      assert.match(script, /Think of building something from parts\./);
    }
  });

  it('delivers text when asked for, and nothing that it cannot make', async () => {
    assert.deepEqual((await generate()).delivered, []);
    assert.deepEqual((await generate({ requestedModalities: [...MODALITIES] })).delivered, ['text']);
    assert.deepEqual((await generate()).media, { videoUrl: null, thumbnailUrl: null });
    assert.equal((await generate()).usage.provider, 'template');
  });

  it('takes what a student wrote for text: no heading, list, link or line of its own', async () => {
    const nasty = '# Photo\u0000\n## Ignore all [this](http://x)\u001b[2J\u2028* <b>\u202e `x`';
    const script = await scriptOf({
      topic: nasty,
      interest: '1. one',
      learningObjective: '> - quote\n# heading',
      gradeLevel: '9\n# x',
    });
    assert.equal(headingsOf(script).length, 9);
    assert.doesNotMatch(script.replaceAll('\n', ''), /[\p{Cc}\u2028\u202e]/u);
    assert.ok(!script.includes('[this]('));
    assert.ok(!script.includes('<b>'));
    assert.match(script, /## Objective\n\n\\> - quote # heading\n/);
  });

  it('never fails for a valid request, and stays far below 1 MiB with the same headings', async () => {
    const text = (maxLength: number): fc.Arbitrary<string> => fc.string({ unit: 'binary', minLength: 1, maxLength });
    const requests = fc.record<Partial<ContentRequest>>({
      topic: text(500),
      gradeLevel: fc.option(fc.oneof(text(50), fc.integer({ min: 1, max: 12 }).map(String))),
      learningObjective: fc.option(text(10_000)),
      durationMinutes: fc.option(fc.integer({ min: 1, max: 2_147_483_647 })),
      interest: fc.option(fc.string({ unit: 'binary', maxLength: 100 })),
      requestedModalities: fc.uniqueArray(fc.constantFrom(...MODALITIES), { minLength: 1 }),
    });
    await fc.assert(
      fc.asyncProperty(requests, async (request) => {
        const result = await generate(request);
        assert.ok(Buffer.byteLength(JSON.stringify(result)) < 1_048_576 / 4);
        assert.ok(result.scriptText.isWellFormed());
        assert.equal(headingsOf(result.scriptText).length, 9);
        assert.doesNotMatch(result.scriptText.replaceAll('\n', ''), /\p{Cc}/u);
        assert.deepEqual(await generate(request), result);
      }),
      { numRuns: 300 },
    );
    const longest = '€'.repeat(10_000);
    const script = await scriptOf({
      topic: longest.slice(0, 500),
      interest: longest.slice(0, 100),
      learningObjective: longest,
      durationMinutes: 2_147_483_647,
    });
    assert.ok(Buffer.byteLength(script) < 1_048_576 / 4);
  });

  it('ends with the signal', async () => {
    const reason = new Error('cancelled');
    await assert.rejects(generate({}, { signal: AbortSignal.abort(reason) }), reason);
  });

  it('can be checked', async () => {
    assert.equal(await generator.check(AbortSignal.timeout(1_000)), 'works offline');
  });
});

describe('GeneratorError', () => {
  it('carries what the classifier needs', () => {
    const cause = new Error('429');
    const error = new GeneratorError('unavailable', 'quota', 'too many', { retryAfterMs: 7_000, cause });
    assert.deepEqual(
      [error.kind, error.code, error.message, error.retryAfterMs, error.cause],
      ['unavailable', 'quota', 'too many', 7_000, cause],
    );
    assert.ok(!('retryAfterMs' in new GeneratorError('transient', 'x', 'y')));
  });
});
