/**
 * What CI makes of npm's answers. In audit-outputs/ is what a registry without audits answered, and two reports written
 * after npm 11's (auditReportVersion 2), with advisories that exist.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LEVEL, verdictOf } from '../../scripts/audit.ts';

const ROOT = path.join(import.meta.dirname, '../..');
const recorded = (name: string): string => readFileSync(path.join(import.meta.dirname, 'audit-outputs', name), 'utf8');

describe('audit', () => {
  it('clean: passes, and says for what', () => {
    assert.deepEqual(verdictOf(recorded('clean.json')), {
      kind: 'clean',
      exitCode: 0,
      lines: [`audit: no finding (runtime dependencies, ${LEVEL} and above)`],
    });
  });

  it('vulnerable: fails, and names each finding of the level with its advisory', () => {
    const { kind, exitCode, lines } = verdictOf(recorded('vulnerable.json'));
    assert.deepEqual([kind, exitCode, lines.length], ['vulnerable', 1, 3]);
    assert.match(
      lines[1] ?? '',
      /critical: minimist <0\.2\.4 \(Prototype Pollution .*GHSA-xvch-5gv4-984h\); npm audit fix/,
    );
    assert.match(lines[2] ?? '', /critical: mkdirp .*\(by minimist\); no fix yet/);
    assert.equal(verdictOf(recorded('vulnerable.json'), 'low').lines.length, 4, 'the twin: the level decides');
  });

  it('a low finding alone passes', () => {
    const report = JSON.parse(recorded('vulnerable.json')) as { vulnerabilities: Record<string, unknown> };
    report.vulnerabilities = { 'on-headers': report.vulnerabilities['on-headers'] };
    assert.equal(verdictOf(JSON.stringify(report)).kind, 'clean');
  });

  for (const [what, output] of [
    ['a registry that answers no audits', recorded('cannot-be-asked.json')],
    [
      'no network',
      '{"message":"request to https://registry.example/x failed, reason: connect ECONNREFUSED","error":{}}',
    ],
    ['a page', '<html>proxy</html>'],
    ['nothing', ''],
    ['something else', '{"vulnerabilities":{}}'],
  ] as const) {
    it(`${what}: passes, and says plainly that it was not done`, () => {
      const { kind, exitCode, lines } = verdictOf(output);
      assert.deepEqual([kind, exitCode, lines.length], ['cannot be asked', 0, 1]);
      assert.match(lines[0] ?? '', /^audit: NOT DONE, the registry could not be asked \(.+\): ask one that answers/);
      assert.doesNotMatch(lines[0] ?? '', /https?:/);
    });
  }

  it('the command asks npm, and its exit code is the verdict', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'audit-'));
    try {
      const run = (name: string): { code: number; said: string } => {
        const file = path.join(import.meta.dirname, 'audit-outputs', name);
        writeFileSync(
          path.join(folder, 'npm'),
          `#!/bin/sh\n[ "$*" = "audit --omit=dev --json" ] && cat '${file}'\nexit 1\n`,
        );
        chmodSync(path.join(folder, 'npm'), 0o755);
        try {
          const env = { ...process.env, PATH: `${folder}${path.delimiter}${process.env['PATH'] ?? ''}` };
          const said = execFileSync(process.execPath, ['--import', 'tsx', path.join(ROOT, 'scripts/audit.ts')], {
            env,
            encoding: 'utf8',
          });
          return { code: 0, said };
        } catch (error) {
          const { status, stdout } = error as { status: number; stdout: string };
          return { code: status, said: stdout };
        }
      };
      assert.match(run('clean.json').said, /no finding/);
      assert.equal(run('clean.json').code, 0);
      assert.equal(run('vulnerable.json').code, 1);
      assert.equal(run('cannot-be-asked.json').code, 0);
      assert.match(run('cannot-be-asked.json').said, /NOT DONE/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('CI runs it, so that a finding ends the build', () => {
    const ci = readFileSync(path.join(ROOT, '.ci/run'), 'utf8');
    assert.match(ci, /^set -euo pipefail$/m);
    // In the background, whose end is waited for.
    assert.match(ci, /&& npx tsx scripts\/audit\.ts; \} >"\$logs\/pipeline" 2>&1 &\npipeline=\$!$/m);
    assert.match(ci, /^wait "\$pipeline" \|\| status=\$\?$/m);
    assert.match(ci, /^if \[ "\$status" -ne 0 \]; then\n.*\n {2}exit "\$status"$/m);
  });
});
