import { expect, it } from 'vitest';
import { retryAfterMs } from '../src/retry-after.ts';

const NOW = Date.UTC(2026, 10, 25, 1, 0, 0);

it.each<[string | null, number | undefined]>([
  ['0', 0],
  ['3', 3_000],
  [' 1.5 ', 1_500],
  ['86400', 60_000],
  ['Wed, 25 Nov 2026 01:00:20 GMT', 20_000],
  ['Wed, 25 Nov 2026 00:00:00 GMT', 0],
  ['Fri, 25 Nov 2033 00:00:00 GMT', 60_000],
  ['soon', undefined],
  ['', undefined],
  [null, undefined],
])('Retry-After %j is %s ms', (header, ms) => {
  expect(retryAfterMs(header, NOW)).toBe(ms);
});
