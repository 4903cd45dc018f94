import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeEmbedReply,
  decodeTokenIds,
  encodeEmbedReply,
  encodeTokenIds,
  type EmbedReplyMeta,
} from '../src/embed-job.ts';
import { spaceId, type EmbeddingSpace } from '../src/space.ts';

const space: EmbeddingSpace = {
  model: 'm',
  revision: 'r',
  dimensions: 3,
  pooling: 'mean',
  normalize: true,
  prompts: { query: '', document: '' },
};

describe('what crosses the queue', () => {
  it('token ids come back as they were sent', () => {
    fc.assert(
      fc.property(fc.uint32Array(), (ids) => {
        expect(decodeTokenIds(encodeTokenIds(ids))).toEqual(ids);
      }),
    );
  });

  it('vectors and their description come back to the last bit, whatever the words in it', () => {
    fc.assert(
      fc.property(fc.float32Array({ noNaN: true }), fc.string({ unit: 'binary' }), (vectors, words) => {
        const meta: EmbedReplyMeta = { status: 'error', id: words, code: 'internal', message: words };
        const decoded = decodeEmbedReply(encodeEmbedReply({ meta, vectors }));
        expect(decoded.vectors).toEqual(vectors);
        expect(decoded.meta.id).toBe(Buffer.from(words).toString());
      }),
    );
  });

  it('a space is another one as soon as anything that changes vectors differs', () => {
    const others: EmbeddingSpace[] = [
      { ...space, model: 'n' },
      { ...space, revision: 's' },
      { ...space, dimensions: 4 },
      { ...space, pooling: 'last' },
      { ...space, normalize: false },
      { ...space, prompts: { query: 'q: ', document: '' } },
      { ...space, prompts: { query: '', document: 'q: ' } },
    ];
    expect(new Set([space, ...others].map(spaceId)).size).toBe(others.length + 1);
    expect(spaceId({ ...space })).toBe(spaceId(space));
  });
});
