import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { CATALOG } from './catalog.ts';
import { findModel } from './installed-model.ts';

export interface ModelDescription {
  space: EmbeddingSpace;
  /** Longest text in tokens, special ones included. */
  maxTokens: number;
  /** Its repository on the model hub; null where that is not known. */
  hub: string | null;
}

/**
 * What is to be known of a model to chunk texts for it. One of the catalog needs not be on this machine.
 * Errors: those of {@link findModel} for what is not in the catalog.
 */
export async function describeModel(
  nameOrFolder: string,
  options: { modelDir: string },
): Promise<ModelDescription> {
  const entry = CATALOG.find(({ space }) => space.model === nameOrFolder);
  if (entry) return { space: entry.space, maxTokens: entry.maxTokens, hub: entry.sources.hub };
  const { space, maxTokens } = await findModel(nameOrFolder, options);
  return { space, maxTokens, hub: null };
}
