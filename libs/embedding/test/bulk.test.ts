import { describe, expect, it } from 'vitest';
import { embedMany, jobTokensFor, packJobs } from '../src/bulk.ts';
import type { BulkSend } from '../src/bulk-transport.ts';

const text = (id: number, length = 4): Uint32Array => new Uint32Array(length).fill(id);

describe('many texts as jobs of the bulk lane', () => {
  it('cuts jobs by texts and by tokens, and loses none', () => {
    expect(packJobs([])).toEqual([]);
    const short = packJobs(Array.from({ length: 130 }, (_, id) => text(id)));
    expect(short.map((job) => job.length)).toEqual([64, 64, 2]);
    const long = packJobs(Array.from({ length: 5 }, (_, id) => text(id, 4_000)));
    expect(long.map((job) => job.length)).toEqual([2, 2, 1]);
    expect(packJobs([text(1, 100_000)]).map((job) => job.length)).toEqual([1]);
  });

  it('cuts smaller jobs for a slow worker, so that none takes it for minutes', () => {
    const [fast, slow] = [{ fit: { a: 2, b: 0.08 } }, { fit: { a: 60, b: 17 } }];
    const texts = Array.from({ length: 12 }, (_, id) => text(id, 300));
    expect(jobTokensFor([])).toBe(8_192);
    expect(jobTokensFor([fast, { fit: null }])).toBe(8_192);
    const mostTokens = jobTokensFor([fast, slow]);
    expect(60 + 17 * mostTokens).toBeLessThanOrEqual(20_000);
    expect(packJobs(texts, mostTokens).map((job) => job.length)).toEqual([3, 3, 3, 3]);
    expect(packJobs(texts, jobTokensFor([{ fit: { a: 30_000, b: 100 } }]))).toHaveLength(12);
  });

  it('returns the vectors in the order of the texts, with a bounded number of jobs under way', async () => {
    let underWay = 0;
    let most = 0;
    const answering: (() => void)[] = [];
    const transport: { send: BulkSend } = {
      send: async ({ inputs }) => {
        most = Math.max(most, ++underWay);
        // Later jobs answer first.
        await new Promise<void>((resolve) => answering.push(resolve));
        underWay -= 1;
        const meta = {
          status: 'ok',
          id: '',
          count: inputs.length,
          dimensions: 1,
          workerId: '',
          tier: 'cpu',
          variant: '',
          device: '',
          queueMs: 0,
          inferenceMs: 0,
        } as const;
        return { meta, vectors: Float32Array.from(inputs, (ids) => ids[0] ?? 0) };
      },
    };
    const inputs = Array.from({ length: 1_000 }, (_, id) => text(id));
    const embedded = embedMany(transport.send, { space: 's', inputs, deadlineMs: 1_000 });
    let done = false;
    void embedded.then(() => (done = true));
    while (!done) {
      await new Promise(setImmediate);
      answering.pop()?.();
    }
    const vectors = await embedded;
    expect(vectors.map(([value]) => value)).toEqual(inputs.map(([id]) => id));
    expect(most).toBe(4);
  });

  it('sends with each job the texts that its token ids stand for', async () => {
    const jobs: [ids: (number | undefined)[], texts: readonly string[] | undefined][] = [];
    const send: BulkSend = async ({ inputs, texts }) => {
      jobs.push([inputs.map(([id]) => id), texts]);
      throw new Error('enough seen');
    };
    const inputs = Array.from({ length: 130 }, (_, id) => text(id));
    const texts = inputs.map(([id]) => `text ${id}`);
    const request = { space: 's', inputs, deadlineMs: 1_000 };
    await embedMany(send, { ...request, texts }).catch(() => undefined);
    expect(jobs.map(([ids]) => ids.length)).toEqual([64, 64, 2]);
    for (const [ids, sent] of jobs) expect(sent).toEqual(ids.map((id) => `text ${id}`));
    jobs.length = 0;
    await embedMany(send, request).catch(() => undefined);
    expect(jobs.map(([, sent]) => sent)).toEqual([undefined, undefined, undefined]);
  });

  it('aborts the other jobs when one fails', async () => {
    const aborted: unknown[] = [];
    let sent = 0;
    const transport: { send: BulkSend } = {
      send: ({ signal }) => {
        sent += 1;
        if (sent === 2) return Promise.reject(new Error('worker gone'));
        return new Promise((_resolve, reject) =>
          signal?.addEventListener('abort', () => {
            aborted.push(signal.reason);
            reject(signal.reason as Error);
          }),
        );
      },
    };
    const inputs = Array.from({ length: 256 }, (_, id) => text(id));
    await expect(embedMany(transport.send, { space: 's', inputs, deadlineMs: 1_000 })).rejects.toThrow(
      'worker gone',
    );
    expect(aborted).toHaveLength(3);
  });
});
