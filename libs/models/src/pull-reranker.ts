import { AppError } from '@embergate/contracts/errors.ts';
import { mkdir } from 'node:fs/promises';
import type { BuildVariant } from './build-checkout.ts';
import { buildCrossEncoder } from './build-cross-encoder.ts';
import { catalogModel } from './catalog.ts';
import { nameOf, variantsOf, type RerankerModel } from './catalog-schema.ts';
import { dropCheckout, keepCheckout } from './checkout-store.ts';
import { readCrossEncoder } from './cross-encoder-checkout.ts';
import { buildBytes } from './disk-space.ts';
import { withFolderLock } from './folder-lock.ts';
import { findRerankerBuild, type InstalledReranker } from './installed-reranker.ts';
import { checkoutFolder, revisionFolder, variantFolder } from './model-layout.ts';
import { readCatalog } from './own-catalog.ts';
import { refused } from './partial-file.ts';
import { obtainCheckout } from './pull-checkout.ts';
import type { PullOptions } from './pull-options.ts';

/**
 * Fetches a cross-encoder of the catalog and builds it, as {@link pullVariants} does of models that embed; the first of the variants named, or the
 * preferred one. Errors: the same, and `config_invalid` for a model that is no cross-encoder.
 */
export async function pullReranker(name: string, options: PullOptions): Promise<InstalledReranker> {
  const model = catalogModel(name, await readCatalog(options.catalogFile));
  if (model.kind !== 'reranker' || !model.crossEncoder)
    throw new AppError(
      'config_invalid',
      `${name} is no cross-encoder: nothing is built of it that ranks here.`,
    );
  const { modelDir } = options;
  const variant = variantOf(model, options.variants?.[0]);
  const folder = revisionFolder(modelDir, model);
  await mkdir(folder, { recursive: true }).catch(refused(folder));
  return withFolderLock(folder, options, async () => {
    const found = await findRerankerBuild(model, variant, modelDir).catch(() => null);
    return found ?? build(model, variant, options);
  });
}

function variantOf(model: RerankerModel, wanted: string | undefined): BuildVariant {
  const offered = variantsOf(model);
  const variant = wanted ?? offered[0] ?? '';
  if (offered.includes(variant)) return variant as BuildVariant;
  const what = `${nameOf(model)} has no variant ${JSON.stringify(variant)}`;
  throw new AppError('config_invalid', `${what}. It has: ${offered.join(', ')}.`);
}

async function build(
  model: RerankerModel,
  variant: BuildVariant,
  options: PullOptions,
): Promise<InstalledReranker> {
  const { modelDir, signal, onBuild, keepCheckout: shallStay, isOffline } = options;
  const needs = { [variant]: buildBytes(model.crossEncoder?.parameters ?? 0, variant) };
  const checkout = await obtainCheckout(model, needs, options);
  const isOwn = checkout.folder === checkoutFolder(modelDir, model);
  if (isOwn && shallStay) await keepCheckout(checkout.folder);
  const described = await readCrossEncoder(checkout.folder);
  const maxTokens = Math.min(model.maxTokens, described.maxTokens);
  const built = await buildCrossEncoder(
    { ...described, name: model.name, maxTokens },
    {
      variant,
      out: variantFolder(modelDir, model, variant),
      onProgress: (done, total) => onBuild?.({ variant, done, total }),
      ...(signal && { signal }),
    },
  );
  // Whoever only builds has not fetched it.
  if (isOwn && !isOffline) await dropCheckout(modelDir, model);
  return built;
}
