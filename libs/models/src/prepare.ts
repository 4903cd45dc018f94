import { toAppError } from '@embergate/contracts/errors.ts';
import { nameOf } from './catalog-schema.ts';
import { findModel, type FindOptions, type InstalledModel } from './installed-model.ts';
import { readCatalog } from './own-catalog.ts';
import { pullModel } from './pull.ts';
import type { PullOptions } from './pull-options.ts';

/**
 * The model, fetched and built first where it is not there or is damaged. A folder that somebody else has built is used
 * or refused, never written to. Errors: those of {@link findModel} and {@link pullModel}.
 */
export async function ensureModel(
  nameOrFolder: string,
  options: FindOptions & Omit<PullOptions, 'variants'>,
): Promise<InstalledModel> {
  try {
    return await findModel(nameOrFolder, options);
  } catch (error) {
    const { code } = toAppError(error);
    const catalog = await readCatalog(options.catalogFile);
    const inCatalog = catalog.some((entry) => nameOf(entry) === nameOrFolder);
    if (!inCatalog || (code !== 'model_not_installed' && code !== 'model_damaged')) throw error;
  }
  const { variant, ...rest } = options;
  return pullModel(nameOrFolder, { ...rest, ...(variant !== undefined && { variants: [variant] }) });
}
