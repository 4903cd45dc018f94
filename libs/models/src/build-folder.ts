import { AppError } from '@embergate/contracts/errors.ts';
import { NewFolder } from '@embergate/platform/new-folder.ts';
import { copyFile, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sha256OfFile } from './file-hash.ts';
import { MANIFEST_FILE, type ModelManifest } from './installed-model.ts';
import { RERANKER_MANIFEST_FILE } from './installed-reranker.ts';
import { refused } from './partial-file.ts';

const TOKENIZER_FILE = 'tokenizer.json';

/**
 * Has a folder filled beside `out` that takes its place when it is complete, so that no half-built model is ever used, and an older
 * one until then.
 *
 * @param out absolute. Errors: `storage_full`, `usage` where `out` holds something else; what `fill` throws.
 */
export async function buildBeside<T>(out: string, fill: (folder: string) => Promise<T>): Promise<T> {
  await expectBuildFolder(out);
  const folder = await NewFolder.make(out).catch(refused(dirname(out)));
  try {
    const filled = await fill(folder.path);
    await folder.takePlace().catch(refused(out));
    return filled;
  } catch (error) {
    await folder.drop();
    throw error;
  }
}

/** Errors: `usage` where the folder holds something that is no build. */
export async function expectBuildFolder(out: string): Promise<void> {
  const found: string[] = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new AppError('usage', `${out} is no folder that can be written: ${error.message}`);
  });
  const isBuild = found.includes(MANIFEST_FILE) || found.includes(RERANKER_MANIFEST_FILE);
  if (found.length > 0 && !isBuild)
    throw new AppError('usage', `${out} is not empty, and not a built model. Choose another folder.`);
}

/** Copies a checkout's tokenizer. @returns what a manifest says of it. Errors: `model_damaged`, `storage_full`. */
export async function copyTokenizer(from: string, to: string): Promise<ModelManifest['files'][number]> {
  const source = join(from, TOKENIZER_FILE);
  const copy = join(to, TOKENIZER_FILE);
  await copyFile(source, copy).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') return refused(to)(error);
    throw new AppError('model_damaged', `The checkout in ${from} has no ${TOKENIZER_FILE}.`);
  });
  return { path: TOKENIZER_FILE, ...(await sha256OfFile(copy)) };
}
