import { AppError } from '@embergate/contracts/errors.ts';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Batcher } from '../src/batcher.ts';
import { backendThatDiesOn, FakeBackend, FitThatStays, text } from './fake-backends.ts';

const query = { lane: 'query' } as const;
const make = () => {
  const backend = new FakeBackend();
  return { backend, batcher: new Batcher({ backend, fit: new FitThatStays({ a: 0, b: 0.1 }) }) };
};
const refused = { code: 'text_refused' };

describe('a batch that fails', () => {
  it('whatever texts end the process or fail the model, all others get their vectors', async () => {
    const kind = fc.constantFrom('good', 'good', 'good', 'killer', 'failing');
    const texts = fc.array(
      fc.record({ kind, length: fc.nat({ max: 40 }), lane: fc.constantFrom('query', 'bulk') }),
      {
        minLength: 1,
        maxLength: 40,
      },
    );
    await fc.assert(
      fc.asyncProperty(texts, async (all) => {
        const idsOf = (wanted: string) =>
          new Set(all.flatMap(({ kind }, id) => (kind === wanted ? [id] : [])));
        const [killers, failing] = [idsOf('killer'), idsOf('failing')];
        const backend = backendThatDiesOn(killers, failing);
        const batcher = new Batcher({ backend, fit: new FitThatStays({ a: 0, b: 0.1 }) });
        const outcomes = await Promise.all(
          all.map(({ length, lane }, id) =>
            batcher.submit([text(id, 1 + length)], { lane: lane }).then(
              ({ vectors }) => [...vectors],
              ({ code }: AppError) => code,
            ),
          ),
        );
        const alone = (id: number) =>
          backend.batches.filter(([first, ...rest]) => first === id && rest.length === 0);
        all.forEach(({ kind, length }, id) => {
          if (kind === 'good') expect(outcomes[id]).toEqual([id, 1 + length]);
          else if (kind === 'failing')
            expect([outcomes[id], alone(id).length]).toEqual(['embedding_failed', 1]);
          else expect([outcomes[id], alone(id).length]).toEqual(['text_refused', 2]);
        });

        const seen = backend.batches.length;
        for (const id of killers) {
          await expect(batcher.submit([text(id, 1 + (all[id]?.length ?? 0))], query)).rejects.toMatchObject(
            refused,
          );
        }
        expect(backend.batches).toHaveLength(seen);
      }),
      { numRuns: 200 },
    );
  });

  it('halves it, and lets what came meanwhile run in between', async () => {
    const { backend, batcher } = make();
    const answers = [1, 2, 3, 4, 5].map((id) => batcher.submit([text(id, 2)], query));
    await backend.untilBatch();
    answers.push(batcher.submit([text(6, 2)], query));
    await backend.die();
    backend.comeBack();
    for (let batch = 0; batch < 3; batch++) await backend.finishBatch();
    await Promise.all(answers);
    expect(backend.batches).toEqual([[1, 2, 3, 4, 5], [6], [1, 2, 3], [4, 5]]);
  });

  it('queries go before the halves of a bulk batch', async () => {
    const { backend, batcher } = make();
    const answers = [batcher.submit([text(1, 2), text(2, 2)], { lane: 'bulk' })];
    await backend.untilBatch();
    await backend.die();
    answers.push(batcher.submit([text(6, 2)], query), batcher.submit([text(7, 2)], query));
    backend.comeBack();
    for (let batch = 0; batch < 3; batch++) await backend.finishBatch();
    await Promise.all(answers);
    expect(backend.batches.slice(1)).toEqual([[6, 7], [1], [2]]);
  });

  it('names a refused text by its hash and length, and not by its words', async () => {
    const killer = text(666, 5);
    const name = createHash('sha256').update(killer).digest('hex').slice(0, 12);
    const batcher = new Batcher({
      backend: backendThatDiesOn(new Set([666])),
      fit: new FitThatStays({ a: 0, b: 1 }),
    });
    await expect(batcher.submit([killer], query)).rejects.toMatchObject({
      ...refused,
      details: { text: name, tokens: 5 },
      message: `The text ${name} (5 tokens) ended the model's process twice, and is not computed again.`,
    });
  });

  it('fails the whole request of a refused text, and all others that wait with the same text, at once', async () => {
    const backend = backendThatDiesOn(new Set([666]));
    const batcher = new Batcher({ backend, fit: new FitThatStays({ a: 0, b: 1 }) });
    const outcomes = await Promise.allSettled([
      batcher.submit([text(1, 2), text(666, 2)], query),
      batcher.submit([text(666, 2)], { lane: 'bulk' }),
      batcher.submit([text(2, 2)], query),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    expect(backend.batches.filter((batch) => batch.join() === '666')).toHaveLength(2);
  });

  it('remembers the last thousand refused texts', async () => {
    const killers = Array.from({ length: 1_001 }, (_, index) => 5_000 + index);
    const backend = backendThatDiesOn(new Set(killers));
    const batcher = new Batcher({ backend, fit: new FitThatStays({ a: 0, b: 1 }) });
    for (const id of killers) await batcher.submit([text(id, 1)], query).catch(() => undefined);
    const before = backend.batches.length;
    await expect(batcher.submit([text(6_000, 1)], query)).rejects.toMatchObject(refused);
    expect(backend.batches).toHaveLength(before);
    await expect(batcher.submit([text(5_000, 1)], query)).rejects.toMatchObject(refused);
    expect(backend.batches).toHaveLength(before + 2);
  });

  it('one kill is forgiven: the text may not have been the reason', async () => {
    const { backend, batcher } = make();
    const answer = batcher.submit([text(1, 2)], query);
    await backend.die();
    backend.comeBack();
    await backend.finishBatch();
    expect([...(await answer).vectors]).toEqual([1, 2]);
  });

  it('is not taken apart where another batch would fail the same way', async () => {
    const { backend, batcher } = make();
    const failures = [1, 2].map((id) =>
      expect(batcher.submit([text(id, 2)], query)).rejects.toMatchObject({ code: 'model_damaged' }),
    );
    await backend.finishBatch(new AppError('model_damaged', 'gone'));
    await Promise.all(failures);
    expect(backend.batches).toEqual([[1, 2]]);
  });
});
