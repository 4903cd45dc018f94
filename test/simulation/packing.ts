import { countThatFits } from '@embergate/embedding/padded-tokens.ts';
import { takeAlike } from './take-alike.ts';
import type { SimJob } from './sim-tier.ts';

type Packing = (waiting: readonly SimJob[], bounds: Parameters<typeof takeAlike>[1]) => SimJob[];

/** Which of the queries that wait make the next batch. */
export const PACKINGS = {
  'in order': (waiting, { mostPaddedTokens }) => waiting.slice(0, countThatFits(waiting, mostPaddedTokens)),
  alike: takeAlike,
} satisfies Record<string, Packing>;
