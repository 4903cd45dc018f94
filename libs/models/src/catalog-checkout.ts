import { AppError } from '@embergate/contracts/errors.ts';
import { writeManifest } from './build.ts';
import type { CheckoutModel } from './catalog-schema.ts';
import { readCheckout, type Checkout } from './checkout.ts';
import { readManifest, type InstalledModel, type ModelManifest } from './installed-model.ts';

/**
 * A checkout under the name, revision, prompts and normalisation of its catalog entry, so that its space is the same on every machine,
 * wherever the files came from and whatever their folder is called.
 * Errors: `model_damaged` where the files make other vectors than the entry says; those of {@link readCheckout}.
 */
export async function checkoutOf(
  model: CheckoutModel,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<Checkout> {
  const checkout = await readCheckout(folder, signal);
  const { normalize } = model.space;
  // Authors of encoders may leave it to the reader of a model card to normalise; a decoder's graph always does.
  const canNormalize = 'normalize' in checkout.shape;
  const shape = canNormalize ? { ...checkout.shape, normalize } : checkout.shape;
  const keys = ['dimensions', 'pooling', ...(canNormalize ? [] : (['normalize'] as const))] as const;
  for (const key of keys) {
    const [found, expected] = [checkout.space[key], model.space[key]];
    if (found === expected) continue;
    const what = `its ${key} is ${found}, the catalog says ${expected}`;
    throw new AppError('model_damaged', `The checkout in ${folder} is not ${model.space.model}: ${what}.`);
  }
  const maxTokens = Math.min(model.maxTokens, checkout.maxTokens);
  return { ...checkout, shape, space: model.space, maxTokens };
}

/** Writes into a build's manifest what it was built from. Errors: `model_damaged`, `storage_full`. */
export async function recordOrigin(
  { folder }: InstalledModel,
  origin: NonNullable<ModelManifest['origin']>,
): Promise<void> {
  const manifest = await readManifest(folder);
  if (manifest) await writeManifest(folder, { ...manifest, origin });
}
