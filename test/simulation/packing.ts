import { countThatFits } from '@embergate/embedding/padded-tokens.ts';
import { takeAlike } from '@embergate/embedding/take-alike.ts';
import type { Fit } from '@embergate/routing/fit.ts';
import type { SimJob } from './sim-tier.ts';

type Packing = (waiting: readonly SimJob[], bounds: { mostPaddedTokens: number; fit: Fit }) => SimJob[];

/** Which of the queries that wait make the next batch. */
export const PACKINGS = {
  'in order': (waiting, { mostPaddedTokens }) => waiting.slice(0, countThatFits(waiting, mostPaddedTokens)),
  alike: (waiting, { mostPaddedTokens, fit }) =>
    takeAlike(waiting, { most: mostPaddedTokens, fit, lengthOf: ({ length }) => length }),
} satisfies Record<string, Packing>;
