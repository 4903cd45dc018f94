import { AppError } from '@embergate/contracts/errors.ts';
import type { SpaceEmbedding } from './run-request.ts';

export interface EmbeddedHashes {
  vectors: Map<string, Float32Array>;
  refused: Map<string, AppError>;
}

/**
 * Embeds texts by the hash of each, the longest first: texts of like length share a batch of the model, which pads every
 * text to the longest.
 *
 * @returns the vector of every hash, or why the model refuses its text.
 */
export async function embedHashes(
  { tokenize, embed }: SpaceEmbedding,
  texts: ReadonlyMap<string, string>,
  { signal, onEmbedded }: { signal: AbortSignal; onEmbedded: (chunks: number, tokens: number) => void },
): Promise<EmbeddedHashes> {
  const answers: EmbeddedHashes = { vectors: new Map(), refused: new Map() };
  if (texts.size === 0) return answers;
  const sorted = [...texts]
    .map(([hash, text]) => ({ hash, text, ids: tokenize(text) }))
    .sort((a, b) => b.ids.length - a.ids.length);
  // Known vectors were looked for meanwhile.
  signal.throwIfAborted();
  const made = await embed(
    sorted.map(({ ids }) => ids),
    {
      texts: sorted.map(({ text }) => text),
      signal,
      onEmbedded: (inputs) => onEmbedded(inputs.length, tokensOf(inputs)),
    },
  );
  sorted.forEach(({ hash }, index) => {
    const answer = made[index];
    if (answer instanceof AppError) answers.refused.set(hash, answer);
    else if (answer) answers.vectors.set(hash, answer);
  });
  return answers;
}

const tokensOf = (inputs: readonly Uint32Array[]): number => inputs.reduce((sum, ids) => sum + ids.length, 0);
