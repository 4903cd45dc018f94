import { AppError } from '@embergate/contracts/errors.ts';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { sha256OfFile } from './file-hash.ts';
import { MANIFEST_FILE, type ModelManifest } from './installed-model.ts';
import { RERANKER_MANIFEST_FILE } from './installed-reranker.ts';
import { isRunning, refused } from './partial-file.ts';

const TOKENIZER_FILE = 'tokenizer.json';

/**
 * Makes a folder beside `out`, has it filled, and renames it when it is complete, so that no half-built model is ever used, and an
 * older one until then. Errors: `storage_full`, `usage` where `out` holds something else; what `fill` throws.
 */
export async function buildBeside<T>(out: string, fill: (folder: string) => Promise<T>): Promise<T> {
  await expectBuildFolder(out);
  await removeLeftovers(out);
  const folder = besideOf(out);
  await mkdir(folder, { recursive: true }).catch(refused(dirname(out)));
  try {
    const filled = await fill(folder);
    await replace(out, folder);
    return filled;
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** A new name of this process's beside a folder. */
const besideOf = (out: string): string =>
  join(dirname(out), `.${basename(out)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`);

/** An older build stays until the new one is in its place. */
async function replace(out: string, folder: string): Promise<void> {
  const old = besideOf(out);
  const hasOld = await rename(out, old).then(
    () => true,
    () => false,
  );
  try {
    await rename(folder, out).catch(refused(out));
  } catch (error) {
    if (hasOld) await rename(old, out);
    throw error;
  }
  await rm(old, { recursive: true, force: true });
}

/** What a build that was killed has left: gigabytes. */
async function removeLeftovers(out: string): Promise<void> {
  const prefix = `.${basename(out)}.`;
  const names = await readdir(dirname(out)).catch(() => []);
  for (const name of names.filter((entry) => entry.startsWith(prefix) && entry.endsWith('.tmp'))) {
    const pid = Number(name.slice(prefix.length).split('.')[0]);
    if (!isRunning(pid)) await rm(join(dirname(out), name), { recursive: true, force: true });
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
