import { join } from 'node:path';
import { isDirect, nameOf, revisionOf, type CatalogModel } from './catalog-schema.ts';

/*
 * MODEL_DIR/NAME/REVISION/             a model that is built beside its files, such as the default one
 * MODEL_DIR/NAME/REVISION/VARIANT/     a build of another model: several may lie side by side
 * MODEL_DIR/NAME/REVISION/checkout/    the files that it is built from, while they are fetched and where they are kept
 */

/** How much of a revision names a folder. */
const REVISION_DIGITS = 8;
const CHECKOUT = 'checkout';

/** The folder of one revision of a model of the catalog. */
export const revisionFolder = (modelDir: string, model: CatalogModel): string =>
  join(modelDir, nameOf(model), revisionOf(model).slice(0, REVISION_DIGITS));

export const variantFolder = (modelDir: string, model: CatalogModel, variant: string): string =>
  isDirect(model) ? revisionFolder(modelDir, model) : join(revisionFolder(modelDir, model), variant);

export const checkoutFolder = (modelDir: string, model: CatalogModel): string =>
  join(revisionFolder(modelDir, model), CHECKOUT);
