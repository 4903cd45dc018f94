import type { SpaceEmbedding } from './run-request.ts';

/**
 * Embeds texts by the hash of each, the longest first: texts of like length share a batch of the model, which pads every
 * text to the longest.
 *
 * @returns the vector of every hash.
 */
export async function embedHashes(
  { tokenize, embed }: SpaceEmbedding,
  texts: ReadonlyMap<string, string>,
  { signal, onEmbedded }: { signal: AbortSignal; onEmbedded: (chunks: number, tokens: number) => void },
): Promise<Map<string, Float32Array>> {
  if (texts.size === 0) return new Map();
  const sorted = [...texts]
    .map(([hash, text]) => ({ hash, text, ids: tokenize(text) }))
    .sort((a, b) => b.ids.length - a.ids.length);
  const made = await embed(
    sorted.map(({ ids }) => ids),
    {
      texts: sorted.map(({ text }) => text),
      signal,
      onEmbedded: (inputs) => onEmbedded(inputs.length, tokensOf(inputs)),
    },
  );
  return new Map(
    sorted.flatMap(({ hash }, index): [string, Float32Array][] => {
      const vector = made[index];
      return vector ? [[hash, vector]] : [];
    }),
  );
}

const tokensOf = (inputs: readonly Uint32Array[]): number => inputs.reduce((sum, ids) => sum + ids.length, 0);
