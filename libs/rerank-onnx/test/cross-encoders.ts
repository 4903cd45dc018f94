import { buildCrossEncoder } from '@embergate/models/build-cross-encoder.ts';
import { readCrossEncoder } from '@embergate/models/cross-encoder-checkout.ts';
import { defaultModelDir, type InstalledModel } from '@embergate/models/installed-model.ts';
import type { InstalledReranker } from '@embergate/models/installed-reranker.ts';
import { ensureModel } from '@embergate/models/prepare.ts';
import { SMALL_CROSS_ENCODER } from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint } from '@embergate/testing/random-checkpoint.ts';
import { copyFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The default model, whose tokenizer is BERT's own. */
export const realTokenizerModel = (): Promise<InstalledModel> =>
  ensureModel('all-MiniLM-L6-v2', {
    modelDir: process.env['MODEL_DIR'] ?? defaultModelDir({ home: homedir(), platform: process.platform }),
  });

/** A small cross-encoder with random weights and BERT's real tokenizer: it ranks, by nothing in particular. */
export async function randomCrossEncoder(folder: string): Promise<InstalledReranker> {
  const checkout = join(folder, 'tiny-cross-encoder');
  await writeRandomCheckpoint(checkout, {
    shape: { ...SMALL_CROSS_ENCODER, vocabulary: 30_522 },
    type: 'F32',
  });
  const { tokenizerPath } = await realTokenizerModel();
  await copyFile(tokenizerPath, join(checkout, 'tokenizer.json'));
  return buildCrossEncoder(await readCrossEncoder(checkout), { variant: 'fp32', out: join(folder, 'built') });
}
