import { describe, expect, it } from 'vitest';
import { takeSettingFlags } from '../src/setting-flags.ts';

const take = (...argv: string[]) => takeSettingFlags(argv, ['GATEWAY_PORT', 'DATA_DIR']);

describe('settings on the command line', () => {
  it('are taken in both forms, anywhere, and leave the command as it was', () => {
    expect(take('up', '--gateway-port', '9000', '--no-index', '--data-dir=/a=b')).toEqual({
      argv: ['up', '--no-index'],
      settings: { GATEWAY_PORT: '9000', DATA_DIR: '/a=b' },
    });
  });

  it('leave alone what is no setting, and what comes after --', () => {
    expect(take('search', '--limit', '3', '--', '--gateway-port', 'x').argv).toEqual([
      ...['search', '--limit', '3', '--', '--gateway-port', 'x'],
    ]);
  });

  it('need a value', () => {
    expect(() => take('up', '--gateway-port')).toThrow('--gateway-port needs a value');
  });
});
