import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { AppError } from '@embergate/contracts/errors.ts';
import { isDirect, nameOf } from './catalog-schema.ts';
import { cutTo, findModel, type FindOptions } from './installed-model.ts';
import { readCatalog } from './own-catalog.ts';

export interface ModelDescription {
  space: EmbeddingSpace;
  /** Longest text in tokens, special ones included. */
  maxTokens: number;
  /** Its repository on the model hub; null where that is not known. */
  hub: string | null;
}

/**
 * What is to be known of a model to chunk texts for it. One of the catalog needs not be on this machine.
 * Errors: those of {@link findModel} but `model_not_installed`.
 */
export async function describeModel(nameOrFolder: string, options: FindOptions): Promise<ModelDescription> {
  const entry = (await readCatalog(options.catalogFile)).find((model) => nameOf(model) === nameOrFolder);
  const hub = entry?.sources.hub ?? null;
  try {
    const { space, maxTokens } = await findModel(nameOrFolder, options);
    return { space, maxTokens, hub };
  } catch (error) {
    const isAway = error instanceof AppError && error.code === 'model_not_installed';
    if (!isAway || entry?.kind !== 'embedding') throw error;
    const matryoshka = isDirect(entry) ? [] : entry.matryoshka;
    const { space, maxTokens } = cutTo({ ...entry, name: nameOrFolder, matryoshka }, options.dimensions);
    return { space, maxTokens, hub };
  }
}
