import { describe, expect, it } from 'vitest';
import { Lifecycle } from '../src/lifecycle.ts';
import { createLogger } from '../src/logs.ts';

describe('stopping', () => {
  it('gives back in the reverse order of what was acquired, one after the other, once', async () => {
    const lifecycle = new Lifecycle(createLogger('test', 'silent'));
    const released: string[] = [];
    for (const name of ['queue', 'model', 'http']) {
      lifecycle.onClose(name, async () => {
        await new Promise(setImmediate);
        released.push(name);
      });
    }
    await Promise.all([lifecycle.close(), lifecycle.close()]);
    expect(released).toEqual(['http', 'model', 'queue']);
    expect(lifecycle.isClosing).toBe(true);
  });

  it('goes on when one release fails', async () => {
    const lifecycle = new Lifecycle(createLogger('test', 'silent'));
    const released: string[] = [];
    lifecycle.onClose('first', () => released.push('first'));
    lifecycle.onClose('second', () => Promise.reject(new Error('already gone')));
    await lifecycle.close();
    expect(released).toEqual(['first']);
  });
});
