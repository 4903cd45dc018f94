import { AppError } from '@embergate/contracts/errors.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { EmbedTransport } from '@embergate/embedding/transport.ts';
import { randomUUID } from 'node:crypto';
import type { TierAdmissions } from '../ports.ts';

/** No user's query is spent on finding out whether a tier is well again. */
export const CANARY_TEXT = 'open the file and read its first line';
const CANARY_DEADLINE_MS = 2_000;
/** Of normalised vectors; half precision is off by less. */
const LENGTH_TOLERANCE = 0.01;

export interface CanaryParts {
  admissions: TierAdmissions;
  transport: EmbedTransport;
  space: string;
  /** Whether the space's vectors have the length one. */
  normalize: boolean;
  /** The canary text as the model reads it: prompted, and its token ids. */
  canary: { ids: Uint32Array; text: string };
}

/** Sends the canary text through a tier, past its breaker. Rejects unless a vector of that space comes in time. */
export const canaryProbe =
  ({ admissions, transport, space, normalize, canary }: CanaryParts) =>
  async (tier: TierName): Promise<void> => {
    const place = { tier, lane: 'query', jobId: randomUUID() } as const;
    const anyLoad = { maxReservedTokens: Infinity, breakerText: null };
    await admissions.reserve({ ...place, tokens: canary.ids.length, ttlMs: CANARY_DEADLINE_MS, ...anyLoad });
    try {
      const texts = { inputs: [canary.ids], texts: [canary.text] };
      const { vectors } = await transport.send({ ...place, space, ...texts, deadlineMs: CANARY_DEADLINE_MS });
      const length = Math.hypot(...vectors);
      const isWell = normalize ? Math.abs(length - 1) <= LENGTH_TOLERANCE : length > 0 && length < Infinity;
      if (!isWell) {
        throw new AppError('embedding_failed', `The canary's vector has the length ${length.toFixed(3)}.`);
      }
    } finally {
      await admissions.release(place).catch(() => undefined); // it expires
    }
  };
