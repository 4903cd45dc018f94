import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { Tokenizer } from './tokenizer.ts';

/** What a text may begin with: the last tokens of a prompt may flow into it. */
const BEGINNINGS = ['a', 'A', '0', '(', ' ', '\n', 'é', '<', ''];

/** Whether the model reads a text from left to right: then the last token has seen all of it. */
export const isDecoder = ({ pooling }: EmbeddingSpace): boolean => pooling === 'last';

/**
 * The tokens that a space's texts begin with whatever follows their prompt; a decoder computes them once. Empty for other models,
 * and where a prompt is empty. An even number of them: a decoder cuts texts at even places only.
 */
export function promptPrefixes(space: EmbeddingSpace, tokenizer: Tokenizer): Uint32Array[] {
  if (!isDecoder(space)) return [];
  return [...new Set(Object.values(space.prompts))].flatMap((prompt) => {
    const prefix = commonStart(BEGINNINGS.map((beginning) => tokenizer.encode(prompt + beginning).ids));
    const length = prefix.length - (prefix.length % 2);
    return prompt !== '' && length > 0 ? [prefix.subarray(0, length)] : [];
  });
}

function commonStart([first = new Uint32Array(), ...others]: readonly Uint32Array[]): Uint32Array {
  const end = first.findIndex((id, at) => others.some((other) => other[at] !== id));
  return end === -1 ? first : first.subarray(0, end);
}
