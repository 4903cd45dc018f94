import { AppError } from '@embergate/contracts/errors.ts';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { nameOf, type FetchedModel } from './catalog-schema.ts';
import {
  completeCheckout,
  ownCheckout,
  readCheckoutFolder,
  type VerifiedCheckout,
} from './checkout-store.ts';
import { expectSpace } from './disk-space.ts';
import type { ExpectedFile } from './expected-file.ts';
import { fetchFile, fromFirst, toldBytes } from './fetch-file.ts';
import { SUMS_FILE, withKnownSums } from './file-lists.ts';
import { checkoutFolder } from './model-layout.ts';
import { isIntact, refused } from './partial-file.ts';
import type { PullOptions } from './pull-options.ts';
import { sourcesOf, type Source } from './sources.ts';

/**
 * The files of a model: a folder that the user named or that is complete here, else fetched. Each is verified.
 * @param builds what will be built of it -> bytes on the disk, which must be free too.
 * Errors: those of the sources, `storage_full` before anything is fetched where the disk is too small, `model_not_installed` where
 * nothing may be fetched.
 */
export async function obtainCheckout(
  model: FetchedModel,
  builds: Readonly<Record<string, number>>,
  options: PullOptions,
): Promise<VerifiedCheckout> {
  const { modelDir, signal, sourceFolder, onPlan } = options;
  const given = sourceFolder ?? (await existing(model.sources.folder));
  const here = given
    ? await readCheckoutFolder(given, model, signal)
    : await ownCheckout(modelDir, model, signal);
  if (here) {
    await expectSpace(options.out === undefined ? modelDir : dirname(resolve(options.out)), builds);
    onPlan?.({ fetchBytes: 0, builds, folder: here.folder });
    return here;
  }
  if (options.isOffline) {
    const name = nameOf(model);
    const advice = `Fetch it with: npx embergate model pull ${name} --keep-checkout; or name a folder that has it: --from FOLDER`;
    throw new AppError('model_not_installed', `The checkout of ${name} is not in ${modelDir}. ${advice}`);
  }
  return fetchCheckout(model, builds, options);
}

async function fetchCheckout(
  model: FetchedModel,
  builds: Readonly<Record<string, number>>,
  options: PullOptions,
): Promise<VerifiedCheckout> {
  const { modelDir, signal } = options;
  const folder = checkoutFolder(modelDir, model);
  await mkdir(folder, { recursive: true }).catch(refused(modelDir));
  const sources = sourcesOf(model, folder, options);
  try {
    const files = await listFiles(model, sources, options);
    const missing: ExpectedFile[] = [];
    for (const file of files) if (!(await isIntact(folder, file, signal))) missing.push(file);
    const fetchBytes = Math.max(0, total(missing) - (await partialBytes(folder)));
    await expectSpace(folder, { 'its files': fetchBytes, ...builds });
    options.onPlan?.({ fetchBytes, builds, folder });
    let done = total(files) - total(missing);
    for (const file of missing) {
      signal?.throwIfAborted();
      const onBytes = toldBytes(options, { file, done, totalBytes: total(files) });
      await fetchFile({ file, folder, model: nameOf(model), sources }, { ...options, onBytes });
      done += file.bytes;
    }
    return await completeCheckout(folder, files);
  } finally {
    for (const source of sources) await source.close?.();
  }
}

/** From the catalog where it knows them all, else from the first source that has a list that agrees with the catalog. */
async function listFiles(
  model: FetchedModel,
  sources: readonly Source[],
  options: PullOptions,
): Promise<readonly ExpectedFile[]> {
  if (model.files) return model.files;
  const listing = sources.filter(({ list }) => list !== undefined);
  const wanted = {
    what: 'The list of the files',
    model: nameOf(model),
    advice: `A mirror or a folder may hold ${SUMS_FILE} beside the files.`,
    ...options,
  };
  return fromFirst(listing, wanted, async (source) =>
    withKnownSums((await source.list?.(options.signal)) ?? [], model.sums),
  );
}

const total = (files: readonly ExpectedFile[]): number => files.reduce((sum, { bytes }) => sum + bytes, 0);

/** What an earlier pull has left unfinished takes its place on the disk already. */
async function partialBytes(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true });
  const sizes = names
    .filter((name) => name.endsWith('.part'))
    .map((name) =>
      stat(join(folder, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

const existing = async (folder: string | undefined): Promise<string | undefined> =>
  folder !== undefined && (await stat(folder).catch(() => null)) ? folder : undefined;
