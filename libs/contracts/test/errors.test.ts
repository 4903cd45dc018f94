import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { AppError, ERROR_KINDS, toAppError, type ErrorCode } from '../src/errors.ts';

const page = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8');

describe('docs/errors.md', () => {
  const rows = [...page.matchAll(/^\| `(\w+)` *\| (\d+) *\| (yes|no) *\| (.+?) *\| (.+?) *\|$/gm)];

  it('explains every code, and no other', () => {
    expect(rows.map(([, code]) => code).sort()).toEqual(Object.keys(ERROR_KINDS).sort());
  });

  it.each(rows.map(([, code, http, again]) => [code, Number(http), again] as const))(
    '%s: status %i, again: %s',
    (code, http, again) => {
      const kind = ERROR_KINDS[code as ErrorCode];
      expect({ http: kind.http, again: kind.retryable ? 'yes' : 'no' }).toEqual({ http, again });
    },
  );
});

describe('an error of any origin', () => {
  it('keeps its code where it has one of ours, and is internal otherwise', () => {
    const own = new AppError('job_running', 'busy');
    expect(toAppError(own)).toBe(own);
    expect(toAppError(Object.assign(new Error('x'), { code: 'config_invalid' })).code).toBe('config_invalid');
    expect(toAppError(Object.assign(new Error('x'), { code: 'ECONNRESET' })).code).toBe('internal');
    expect(toAppError('thrown text').message).toBe('thrown text');
  });
});
