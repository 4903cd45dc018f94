import { toAppError } from '@embergate/contracts/errors.ts';
import { CATALOG } from './catalog.ts';
import { findModel, type InstalledModel } from './installed-model.ts';
import { pullModel, type PullOptions } from './pull.ts';

/**
 * The model, fetched and built first where it is not there or is damaged. A folder that somebody else has built is used
 * or refused, never written to. Errors: those of {@link findModel} and {@link pullModel}.
 */
export async function ensureModel(nameOrFolder: string, options: PullOptions): Promise<InstalledModel> {
  try {
    return await findModel(nameOrFolder, options);
  } catch (error) {
    const { code } = toAppError(error);
    const inCatalog = CATALOG.some((entry) => entry.space.model === nameOrFolder);
    if (!inCatalog || (code !== 'model_not_installed' && code !== 'model_damaged')) throw error;
  }
  return pullModel(nameOrFolder, options);
}
