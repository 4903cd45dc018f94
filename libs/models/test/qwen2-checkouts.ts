import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { afterAll, beforeAll } from 'vitest';
import { buildCheckout, type BuildVariant } from '../src/build-checkout.ts';
import { readCheckout } from '../src/checkout.ts';
import { SMALL_QWEN2 } from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint, type CheckpointOptions } from '@embergate/testing/random-checkpoint.ts';

export let root: Awaited<ReturnType<typeof temporaryFolder>>;
let folders = 0;
export const newFolder = () => join(root.path, String(folders++));

export async function checkout(options: Partial<CheckpointOptions> = {}): Promise<string> {
  const folder = newFolder();
  await writeRandomCheckpoint(folder, { shape: SMALL_QWEN2, type: 'F32', ...options });
  // No test here tokenises.
  await writeFile(join(folder, 'tokenizer.json'), '{}');
  return folder;
}

export const build = async (folder: string, variant: BuildVariant, out = newFolder()) =>
  buildCheckout(await readCheckout(folder), { variant, out });

/** Gives the tests of a file their folder. */
export function useCheckouts(): void {
  beforeAll(async () => {
    root = await temporaryFolder('qwen2');
  });
  afterAll(() => root.remove());
}
