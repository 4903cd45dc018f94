// `npm test`: everything, from a fresh clone. The last line is `N passed, N failed`.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, relative } from 'node:path';
import { install, PROJECT_NODE, ROOT } from './install.mjs';

install({ development: true });

const bin = join(ROOT, 'node_modules', '.bin');
const env = {
  ...process.env,
  PATH: `${bin}${delimiter}${process.env['PATH']}`,
  NX_DAEMON: 'false',
  NX_TUI: 'false',
};
const reports = mkdtempSync(join(tmpdir(), 'embergate-test-'));
const report = join(reports, 'vitest.json');
const totals = { passed: 0, failed: 0, skipped: 0 };
const failed = [];

function check(name, command, args) {
  const startedAt = Date.now();
  const { status } = spawnSync(command, args, { cwd: ROOT, env, stdio: 'inherit' });
  const seconds = ((Date.now() - startedAt) / 1_000).toFixed(1);
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)`);
  return status === 0;
}

for (const [name, command, ...args] of [
  ['format', 'prettier', '--check', '--log-level=warn', '.'],
  ['types', 'tsc', '--noEmit', '-p', 'tsconfig.json'],
  ['lint', 'eslint', '.', '--max-warnings=0'],
  ['unused code', 'knip'],
]) {
  const passed = check(name, command, args);
  totals[passed ? 'passed' : 'failed'] += 1;
  if (!passed) failed.push(name);
}

const selected = process.argv.slice(2);
const ok = check('tests', PROJECT_NODE, [
  join(ROOT, 'node_modules', 'vitest', 'vitest.mjs'),
  'run',
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${report}`,
  ...selected,
]);
try {
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(
    readFileSync(report, 'utf8'),
  );
  totals.passed += numPassedTests;
  totals.failed += numFailedTests;
  totals.skipped += numPendingTests + numTodoTests;
  // A file that could not be loaded has no tests that could have failed.
  const broken = testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && assertionResults.every((test) => test.status !== 'failed'),
  );
  totals.failed += broken.length;
  for (const { name, assertionResults } of testResults) {
    for (const { fullName } of assertionResults.filter((test) => test.status === 'failed')) {
      failed.push(`${relative(ROOT, name)}: ${fullName}`);
    }
  }
  failed.push(...broken.map(({ name }) => `${relative(ROOT, name)}: cannot be run`));
} catch (error) {
  console.error(`The report of the tests cannot be read: ${error.message}`);
}
rmSync(reports, { recursive: true, force: true });
if (!ok && totals.failed === 0) {
  totals.failed = 1;
  failed.push('tests: an error outside of them');
}

// Named once more where whoever reads only the end of it finds them.
for (const each of failed) console.log(`FAIL ${each}`);
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
console.log(`${totals.passed} passed, ${totals.failed} failed${skipped}`);
process.exitCode = totals.failed === 0 ? 0 : 1;
