import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import { BulkTransport } from '@embergate/embedding/bulk-transport.ts';
import type { EmbedTransport } from '@embergate/embedding/transport.ts';
import { findModel, type InstalledModel } from '@embergate/models/installed-model.ts';
import { loadTokenizer } from '@embergate/models/tokenizer.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { VectorCache } from '@embergate/queue/vector-cache.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { Coalescer } from '../src/coalescer.ts';
import { Embedder } from '../src/embedder.ts';
import { createGatewayMetrics } from '../src/metrics.ts';
import { QueryCache } from '../src/query-cache.ts';
import { ServedSpaces } from '../src/served-spaces.ts';
import { TextTokens } from '../src/text-tokens.ts';
import { SPACE, vectorOf } from './tiers/scripted-worker.ts';
import { TIERS, TierWorld } from './tiers/tier-world.ts';

let world: TierWorld;
let model: InstalledModel;
let texts: TextTokens;
beforeAll(async () => {
  world = await TierWorld.start();
  model = await findModel(DEFAULT_MODEL, { modelDir: inject('modelDir') });
  texts = new TextTokens(model, await loadTokenizer(model.tokenizerPath, { maxTokens: model.maxTokens }));
});
afterAll(() => world.stop());
afterEach(() => world.reset());

/** The embedder of one gateway, with the real tokenizer and cache. Workers are scripted. */
async function embedder(tokens = texts) {
  const { router, redis, sender, workers, status } = await world.gateway();
  const lookups: string[] = [];
  const errors: unknown[] = [];
  const metrics = createGatewayMetrics();
  // The scripted workers are of a space of their own.
  const transport: EmbedTransport = { send: (request) => sender.send({ ...request, space: SPACE }) };
  const made = new Embedder({
    model,
    tiers: TIERS,
    texts: tokens,
    cache: new QueryCache({
      shared: new VectorCache(redis, createLogger('test', 'silent')),
      firstTier: 'gpu',
      onLookup: (layer) => lookups.push(layer),
    }),
    inFlight: new Coalescer(),
    router,
    bulk: new BulkTransport({ transport, workers, space: SPACE, tiers: TIERS }),
    bulkToFirst: new BulkTransport({ transport, workers, space: SPACE, tiers: TIERS.slice(0, 1) }),
    whyNotFirst: () => 'gpu_starting',
    isQueueKnown: () => workers.isKnown(),
    log: Object.assign(createLogger('test', 'silent'), {
      error: ({ err }: { err: unknown }) => void errors.push(err),
    }),
    metrics,
    labels: {},
  });
  const ask = (text: string, options: { firstTierOnly?: boolean; signal?: AbortSignal } = {}) =>
    made.embedOne(text, 'query', { deadlineMs: 2_000, ...options });
  const spaces = new ServedSpaces([
    { id: spaceId(model.space), model, tiers: TIERS, embedder: made, status },
  ]);
  /** How often a stage of embedding was observed. */
  const observed = async (stage: string): Promise<number> =>
    (await metrics.embedSeconds.get()).values
      .filter(({ metricName, labels }) => metricName?.endsWith('_count') && labels['stage'] === stage)
      .reduce((sum, { value }) => sum + value, 0);
  return { made, spaces, ask, lookups, errors, observed };
}
const idsOf = (text: string): Uint32Array => texts.encode(text, 'query').ids;
const TEXT = 'retry with backoff';

describe('one text', () => {
  it('comes with who made its vector, where, how fast, and what each step took', async () => {
    const { made, ask } = await embedder();
    const gpu = await world.worker('gpu');
    const { vector, report, tokens, timingsMs, warnings } = await ask(TEXT);
    expect(vector).toEqual(vectorOf(idsOf(TEXT)));
    expect(tokens).toBe(idsOf(TEXT).length);
    expect(report).toEqual({
      model: model.name,
      space: made.space,
      variant: 'variant-of-gpu',
      tier: 'gpu',
      device: 'gpu',
      degraded: false,
      reason: null,
      cached: false,
      predictedMs: expect.any(Number),
      tookMs: expect.any(Number),
    });
    expect(warnings).toEqual([]);
    expect(timingsMs.inference).toBe(1);
    const steps = Object.values(timingsMs).reduce((sum, ms) => sum + ms, 0);
    expect(steps).toBeCloseTo(report.tookMs, 1);
    expect(gpu.begun).toHaveLength(1);
  });

  it('that was asked for before comes from the cache, in every gateway; another input type does not', async () => {
    const [one, other] = [await embedder(), await embedder()];
    const gpu = await world.worker('gpu');
    const first = await one.ask(TEXT);
    const again = await one.ask(TEXT);
    expect(again.report).toMatchObject({ tier: 'gpu', degraded: false, cached: true, predictedMs: null });
    expect(again.vector).toEqual(first.vector);
    // What a gateway makes reaches the others a moment later.
    await eventually('the other has it', async () => (await other.ask(TEXT)).report.cached);
    const met = gpu.begun.length;
    await one.made.embedOne(TEXT, 'document', { deadlineMs: 2_000 });
    expect(gpu.begun).toHaveLength(met + 1);
    expect(one.lookups).toEqual(['miss', 'local', 'miss']);
  });

  it('from another tier than the first says why, and that it takes longer; from the cache only why', async () => {
    const { ask } = await embedder();
    const cpu = await world.worker('cpu');
    const { report, warnings } = await ask(TEXT);
    expect(report).toMatchObject({
      tier: 'cpu',
      device: 'cpu',
      degraded: true,
      reason: 'gpu_absent',
      cached: false,
    });
    expect(warnings).toEqual([{ code: 'latency_degraded', message: expect.stringContaining('gpu_absent') }]);
    const again = await ask(TEXT);
    expect(again.report).toMatchObject({ tier: 'cpu', degraded: true, reason: 'gpu_absent', cached: true });
    expect(again.warnings).toEqual([]);
    expect(cpu.begun).toHaveLength(1);
    // Who wants the first tier only is not content with what the other one made.
    await expect(ask(TEXT, { firstTierOnly: true })).rejects.toMatchObject({
      code: 'no_tier_available',
      details: { reason: 'gpu_absent' },
    });
    await world.worker('gpu');
    const first = await ask(TEXT, { firstTierOnly: true });
    expect(first.report).toMatchObject({ tier: 'gpu', degraded: false, reason: null, cached: false });
    expect((await ask(TEXT)).report).toMatchObject({ tier: 'gpu', cached: true });
  });

  it('that many want at once is computed once; who leaves takes nothing from the others', async () => {
    const { ask, observed } = await embedder();
    const gpu = await world.worker('gpu');
    await world.worker('cpu');
    gpu.act = 'is silent';
    const leaving = new AbortController();
    const left = ask(TEXT, { signal: leaving.signal, firstTierOnly: true });
    const asked = Array.from({ length: 20 }, () => ask(TEXT, { firstTierOnly: true }));
    await eventually('it is begun', () => gpu.begun.length === 1);
    leaving.abort(new Error('the client left'));
    await expect(left).rejects.toThrow('the client left');
    gpu.speakUp();
    for (const { report, vector } of await Promise.all(asked)) {
      expect(report).toMatchObject({ tier: 'gpu', cached: false });
      expect(vector).toEqual(vectorOf(idsOf(TEXT)));
    }
    expect(gpu.begun).toHaveLength(1);
    expect([await observed('total'), await observed('inference')]).toEqual([20, 1]);
    await world.isAllGivenBack();
  });

  it('that a defect stands in the way of is reported to the log, and not to the caller', async () => {
    const defect = new TypeError('pieces is not iterable');
    const { ask, errors } = await embedder(
      new TextTokens(model, {
        padId: 0,
        beginning: (text) => text,
        encode: (text) => {
          if (text.endsWith(TEXT)) throw defect;
          return { ids: Uint32Array.of(1), truncated: false };
        },
      }),
    );
    const error = await ask(TEXT).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'internal', details: { reason: 'gpu_down' } });
    expect((error as Error).message).not.toContain(defect.message);
    expect(errors).toEqual([defect]);
  });

  it('that all have left is computed no more', async () => {
    const { ask } = await embedder();
    const gpu = await world.worker('gpu', { concurrency: 1 });
    gpu.act = 'is silent';
    const busy = ask('what comes first');
    await eventually('the worker is busy', () => gpu.begun.length === 1);
    const leaving = new AbortController();
    const asked = [ask(TEXT, { signal: leaving.signal }), ask(TEXT, { signal: leaving.signal })];
    await eventually('it waits', async () => (await world.leftOf('gpu')).places === 2);
    leaving.abort(new Error('the client left'));
    for (const call of asked) await expect(call).rejects.toThrow('the client left');
    gpu.act = 'answers';
    gpu.speakUp();
    await busy;
    await world.isAllGivenBack();
    expect(gpu.begun).toHaveLength(1);
  });

  it('of a collection in another space is refused, and nobody computes it', async () => {
    const { spaces } = await embedder();
    const gpu = await world.worker('gpu');
    const space: EmbeddingSpace = { ...model.space, revision: 'another' };
    const options = { space, deadlineMs: 2_000, firstTierOnly: false };
    await expect(spaces.embedQuery(TEXT, options)).rejects.toMatchObject({ code: 'space_mismatch' });
    await expect(spaces.embedQuery(TEXT, { ...options, space: model.space })).resolves.toMatchObject({
      report: { space: spaceId(model.space) },
    });
    expect(gpu.begun).toHaveLength(1);
  });

  it('longer than the model reads is cut, and that is said', async () => {
    const { ask } = await embedder();
    await world.worker('gpu');
    const { tokens, warnings } = await ask('word '.repeat(5_000));
    expect(tokens).toBe(model.maxTokens);
    expect(warnings).toMatchObject([{ code: 'query_truncated' }]);
    expect(warnings[0]?.message).toContain(`${model.name} reads ${model.maxTokens} tokens`);
  });
});

describe('a list of texts', () => {
  const list = Array.from({ length: 200 }, (_, n) => `${n} bottles of beer`);
  const long = list.flatMap((text) => Array.from({ length: 10 }, (_, n) => `${n} ${text} `.repeat(500)));

  it('comes in the order given, with its tokens counted', async () => {
    const { made } = await embedder();
    await world.worker('gpu');
    const { vectors, tokens, report } = await made.embedList(list, 'document', { deadlineMs: 60_000 });
    const inputs = list.map((text) => texts.encode(text, 'document').ids);
    expect(vectors).toEqual(inputs.map(vectorOf));
    expect(tokens).toBe(inputs.reduce((sum, ids) => sum + ids.length, 0));
    expect(report).toMatchObject({
      tier: 'gpu',
      degraded: false,
      reason: null,
      cached: false,
      predictedMs: null,
    });
  });

  it('from another tier than the first says so', async () => {
    const { made } = await embedder();
    await world.worker('cpu');
    const { report } = await made.embedList(list, 'document', { deadlineMs: 60_000 });
    expect(report).toMatchObject({ tier: 'cpu', degraded: true, reason: 'gpu_starting' });
  });

  it('of thousands of long texts keeps no search waiting while it is read', async () => {
    const { made, ask } = await embedder();
    const gpu = await world.worker('gpu');
    const asked = made.embedList(long, 'document', { deadlineMs: 60_000 });
    await ask(TEXT);
    expect(gpu.begun).toHaveLength(1); // the search, and nothing of the list yet
    expect((await asked).vectors).toHaveLength(long.length);
  });

  it('is read no further once its caller has left, or its deadline has passed', async () => {
    const { made } = await embedder();
    const gpu = await world.worker('gpu');
    const leaving = new AbortController();
    const left = made.embedList(long, 'document', { deadlineMs: 60_000, signal: leaving.signal });
    setImmediate(() => leaving.abort(new Error('the client left')));
    await expect(left).rejects.toThrow('the client left');
    await expect(made.embedList(long, 'document', { deadlineMs: 1 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
    });
    expect(gpu.begun).toEqual([]);
  });

  it('that nobody can take is refused', async () => {
    const { made } = await embedder();
    await expect(made.embedList(list, 'document', { deadlineMs: 60_000 })).rejects.toMatchObject({
      code: 'no_tier_available',
      details: { reason: 'gpu_absent' },
    });
  });
});
