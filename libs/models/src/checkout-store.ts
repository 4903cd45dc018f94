import { AppError } from '@embergate/contracts/errors.ts';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { writeWhole } from './build.ts';
import { nameOf, type CatalogModel, type FetchedModel } from './catalog-schema.ts';
import { isCheckoutFile } from './checkout-files.ts';
import { expectReasonable, formatSums, parseSums, SUMS_FILE } from './file-lists.ts';
import { sha256OfFile } from './file-hash.ts';
import { checkoutFolder } from './model-layout.ts';

/*
 * A checkout in MODEL_DIR:
 *
 *   files and parts of files --all verified: SHA256SUMS--> complete --built--> removed
 *                                                                        \--KEEP_FILE--> kept until somebody deletes it
 *
 * With its SHA256SUMS it is what a mirror serves and what `--from` takes.
 */
const KEEP_FILE = '.keep';

export interface CheckoutFile {
  path: string;
  bytes: number;
  sha256: string;
}

/** The files of a checkout that a model is built from, each compared with the sums that are known. */
export interface VerifiedCheckout {
  folder: string;
  files: CheckoutFile[];
}

/**
 * Reads a folder that somebody else has filled. Sums of the catalog count, then those of a SHA256SUMS in the folder; files that
 * neither names are taken at the user's word.
 * Errors: `model_not_found` where it is no checkout, `checksum_mismatch`, `model_damaged` where a file is missing; the signal's reason.
 */
export async function readCheckoutFolder(
  folder: string,
  model: FetchedModel,
  signal: AbortSignal | undefined,
): Promise<VerifiedCheckout> {
  const place = resolve(folder);
  const said = await readFile(join(place, SUMS_FILE), 'utf8').then(
    parseSums,
    () => new Map<string, string>(),
  );
  const pinned = (model.files ?? []).map(({ path, sha256 }): [string, string] => [path, sha256]);
  const sums = new Map([...said, ...pinned, ...Object.entries(model.sums)]);
  const found = await filesOf(place).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    throw new AppError('model_not_found', `${place} is no checkout of ${nameOf(model)}: ${why}.`);
  });
  for (const path of sums.keys()) {
    if (!found.some((file) => file.path === path))
      throw new AppError('model_damaged', `${path} is missing in ${place}.`);
  }
  const files: CheckoutFile[] = [];
  for (const { path } of found) {
    const { bytes, sha256 } = await sha256OfFile(join(place, path), signal);
    const expected = sums.get(path) ?? sha256;
    if (sha256 !== expected) {
      const both = `its sha256 is ${sha256}, it should be ${expected}`;
      throw new AppError('checksum_mismatch', `${join(place, path)} is another file: ${both}.`);
    }
    files.push({ path, bytes, sha256 });
  }
  return { folder: place, files };
}

async function filesOf(folder: string): Promise<{ path: string; bytes: number }[]> {
  const names = await readdir(folder);
  const below = await Promise.all(
    names.filter((name) => /^\d/.test(name)).map(async (name) => `${name}/config.json`),
  );
  const files: { path: string; bytes: number }[] = [];
  for (const path of [...names, ...below].filter(isCheckoutFile)) {
    const found = await stat(join(folder, path)).catch(() => null);
    if (found?.isFile()) files.push({ path, bytes: found.size });
  }
  return expectReasonable(files);
}

/** A complete checkout in MODEL_DIR, verified; null where there is none, or something of it has changed. */
export async function ownCheckout(
  modelDir: string,
  model: FetchedModel,
  signal: AbortSignal | undefined,
): Promise<VerifiedCheckout | null> {
  const folder = checkoutFolder(modelDir, model);
  if (!(await exists(join(folder, SUMS_FILE)))) return null;
  try {
    return await readCheckoutFolder(folder, model, signal);
  } catch {
    signal?.throwIfAborted();
    return null;
  }
}

/** Says that all files of a checkout in MODEL_DIR have been verified. Errors: `storage_full`. */
export async function completeCheckout(
  folder: string,
  files: readonly { path: string; bytes: number; sha256?: string | undefined }[],
): Promise<VerifiedCheckout> {
  const summed: CheckoutFile[] = [];
  for (const { path, bytes, sha256 } of files) {
    const sum = sha256 ?? (await sha256OfFile(join(folder, path))).sha256;
    summed.push({ path, bytes, sha256: sum });
  }
  await writeWhole(folder, SUMS_FILE, Buffer.from(formatSums(summed)));
  return { folder, files: summed };
}

export async function keepCheckout(folder: string): Promise<void> {
  await writeWhole(folder, KEEP_FILE, Buffer.from(''));
}

/** Frees what a build has needed, unless the user has said that it shall stay. */
export async function dropCheckout(modelDir: string, model: CatalogModel): Promise<void> {
  const folder = checkoutFolder(modelDir, model);
  if (!(await exists(join(folder, KEEP_FILE)))) await rm(folder, { recursive: true, force: true });
}

/** What lies in MODEL_DIR of a model's checkout, complete or not: null where nothing does. */
export async function keptCheckout(
  modelDir: string,
  model: CatalogModel,
): Promise<{ folder: string; bytes: number; complete: boolean } | null> {
  const folder = checkoutFolder(modelDir, model);
  const names: string[] = await readdir(folder, { recursive: true }).catch(() => []);
  if (names.length === 0) return null;
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        (found) => (found.isFile() ? found.size : 0),
        // A pull that is at work renames its parts meanwhile, and removes them in the end.
        () => 0,
      ),
    ),
  );
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  return { folder, bytes, complete: names.includes(SUMS_FILE) };
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
