import { afterEach, describe, expect, it, vi } from 'vitest';
import { print, table } from '../src/output.ts';

describe('what reaches the terminal', () => {
  const written: string[] = [];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => written.push(String(text)) > 0);
  afterEach(() => written.splice(0));

  it('holds nothing that moves the cursor, sets a title or turns the writing direction', () => {
    print('a\x1b]0;title\x07b\x1b[2Jc\u202ed\re');
    expect(written.join('')).toBe('a ]0;title b [2Jc d e\n');
  });

  it('keeps lines, tabs and colours', () => {
    print('\x1b[31mred\x1b[39m\tx\ny');
    expect(written.join('')).toBe('\x1b[31mred\x1b[39m\tx\ny\n');
  });

  it('lines columns up', () => {
    expect(
      table([
        ['A', 'LONG'],
        ['wide', 'x'],
      ]),
    ).toBe('A     LONG\nwide  x');
  });
});
