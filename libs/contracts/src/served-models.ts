import { z } from 'zod';
import { TIER_NAMES, type TierName } from './tiers.ts';

/** A model that is served beside the first one: a space with workers of its own. */
export interface ServedModel {
  /** A name of the catalog or a folder with a built model. */
  model: string;
  /** Fewer than the model makes. */
  dimensions: number | undefined;
  /** In order of preference. */
  tiers: readonly TierName[];
}

const FORM = /^(?<model>[^=#,]+)(#(?<dimensions>[1-9]\d{0,4}))?(=(?<tiers>[a-z+]+))?$/;
const isTier = (name: string): name is TierName => (TIER_NAMES as readonly string[]).includes(name);

/** `NAME[#DIMENSIONS][=TIER+TIER]`; null where it is written otherwise. */
function parseOne(text: string): ServedModel | null {
  const { model, dimensions, tiers = 'cpu' } = FORM.exec(text)?.groups ?? {};
  const names = tiers.split('+');
  if (model === undefined || !names.every(isTier) || new Set(names).size < names.length) return null;
  return { model, dimensions: dimensions === undefined ? undefined : Number(dimensions), tiers: names };
}

/** The setting OTHER_EMBEDDING_MODELS: a list with commas, such as `CodeRankEmbed=gpu+cpu,nomic-embed-text-v1.5#256`. */
export const servedModelsSetting = z
  .string()
  .default('')
  .transform((text) =>
    text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '')
      .map(parseOne),
  )
  .refine((models): models is ServedModel[] => models.every((model) => model !== null), {
    error: `must be a comma-separated list of NAME[#DIMENSIONS][=TIER+TIER], with tiers of: ${TIER_NAMES.join(', ')}`,
  })
  .transform((models) => models as ServedModel[]);
