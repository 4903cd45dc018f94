import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const SMALL_HEAP = new URL('../src/small-heap.ts', import.meta.url).href;

/** Holds many ids for a moment, and makes garbage from then on, as a run does. In bytes. */
const WORK = `
  import { keepHeapSmall } from '${SMALL_HEAP}';
  keepHeapSmall();
  const before = process.memoryUsage.rss();
  let ids = Array.from({ length: 600_000 }, (_, n) => 'chunk ' + n + Math.random());
  const peak = process.memoryUsage.rss();
  ids = [];
  for (let round = 0; round < 200; round++) {
    const garbage = Array.from({ length: 20_000 }, (_, n) => ({ n }));
    await new Promise((resolve) => setImmediate(resolve, garbage));
  }
  console.log(JSON.stringify({ before, peak, after: process.memoryUsage.rss() }));
`;

test('what a process that keeps its heap small held for a moment is given back while it works on', async () => {
  const args = ['--max-semi-space-size=4', '--input-type=module', '--eval', WORK];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const { before, peak, after } = JSON.parse(stdout) as Record<'before' | 'peak' | 'after', number>;
  expect(peak - before).toBeGreaterThan(30e6);
  expect(after - before).toBeLessThan((peak - before) / 2);
});
