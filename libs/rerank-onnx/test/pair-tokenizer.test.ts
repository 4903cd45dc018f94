import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PairTokenizer } from '../src/pair-tokenizer.ts';
import { realTokenizerModel } from './cross-encoders.ts';

/** Made by Hugging Face's tokenizers: libs/models/test/reference/cross_encoder_reference.py. */
const { maxTokens, pairs } = JSON.parse(
  await readFile(join(import.meta.dirname, '../../models/test/reference/cross-encoder-goldens.json'), 'utf8'),
) as { maxTokens: number; pairs: { query: string; passage: string; ids: number[]; types: number[] }[] };

const read = async (path: string): Promise<unknown> => JSON.parse(await readFile(path, 'utf8'));

describe('a pair of texts', () => {
  it.each(pairs)('is cut and framed as Hugging Face does: %j', async ({ query, passage, ids, types }) => {
    const tokenizer = new PairTokenizer(await read((await realTokenizerModel()).tokenizerPath), maxTokens);
    expect(tokenizer.encode(query, [passage])).toEqual([{ ids, types }]);
  });

  it('never is longer than the model reads, however long its texts are', async () => {
    const tokenizer = new PairTokenizer(await read((await realTokenizerModel()).tokenizerPath), 512);
    const [pair] = tokenizer.encode('x'.repeat(1_000_000), ['a = b\n'.repeat(1_000_000)]);
    expect(pair?.ids.length).toBeLessThanOrEqual(512);
    expect(pair?.types).toHaveLength(pair?.ids.length ?? 0);
  });

  it('is of no use to a model that reads too little', async () => {
    const json = await read((await realTokenizerModel()).tokenizerPath);
    expect(() => new PairTokenizer(json, 4)).toThrow('no room');
  });
});
