import type { AdoptionPreview } from '@embergate/contracts/adoption.ts';
import { cosine } from '@embergate/embedding/cosine.ts';

/** One text as a document. Rejects where no tier makes its vector within so many milliseconds. */
export type EmbedText = (text: string, deadlineMs: number) => Promise<Float32Array>;

export interface EmbeddedText {
  text: string;
  vector: Float32Array;
}

const TEXTS = 4;
const DEADLINE_MS = 10_000;
/** Shorter texts say little about a model, longer ones take it long. */
const CHARACTERS = { min: 40, max: 1_500 };

/**
 * Cosines of vectors with those that this deployment's model makes of the same texts.
 *
 * @returns null where there is no text to compare, or no tier makes its vector in time: then nothing is known.
 */
export async function agreementOf(
  candidates: readonly EmbeddedText[],
  embed: EmbedText,
): Promise<AdoptionPreview['agreement']> {
  const chosen = candidates
    .filter(({ text }) => text.length >= CHARACTERS.min && text.length <= CHARACTERS.max)
    .sort((one, other) => one.text.length - other.text.length)
    .slice(0, TEXTS);
  if (chosen.length === 0) return null;
  const until = performance.now() + DEADLINE_MS;
  const cosines: number[] = [];
  try {
    for (const { text, vector } of chosen) {
      cosines.push(cosine(await embed(text, Math.max(1, until - performance.now())), vector));
    }
  } catch {
    return null;
  }
  const mean = cosines.reduce((sum, value) => sum + value, 0) / cosines.length;
  return { texts: cosines.length, min: Math.min(...cosines), mean };
}
