import { npyOf } from '@embergate/testing/npy.ts';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NpyFile } from '../src/npy-file.ts';
import { OpenedFile } from '../src/opened-file.ts';

describe('float16', () => {
  it('is read as NumPy reads it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'embergate-npy-'));
    // From the definition of binary16: largest, smallest normal, smallest subnormal, one third, infinity.
    const bits = [0x7bff, 0x0400, 0x0001, 0x3555, 0xfc00, 0x8000];
    const bytes = npyOf([bits.map(() => 0)], { descr: '<f2' });
    bits.forEach((value, at) => bytes.writeUInt16LE(value, bytes.length - 2 * (bits.length - at)));
    await writeFile(join(folder, 'x.npy'), bytes);
    const file = await OpenedFile.open(folder, 'x.npy');
    const [row] = await (await NpyFile.open(file.handle)).read(0, 1);
    await file.close();
    await rm(folder, { recursive: true });
    expect([...(row ?? [])]).toEqual([65_504, 2 ** -14, 2 ** -24, 0.333251953125, -Infinity, -0]);
  });
});
