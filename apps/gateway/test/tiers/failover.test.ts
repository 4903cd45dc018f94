import { eventually } from '@embergate/testing/eventually.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CANARY, vectorOf } from './scripted-worker.ts';
import { idsOf, TierWorld } from './tier-world.ts';

let world: TierWorld;
beforeAll(async () => {
  world = await TierWorld.start();
});
afterAll(() => world.stop());
afterEach(() => world.reset());

/** A gateway before one worker of each tier. Breakers are another story: nobody follows time here. */
async function scene(options: { hedgePercent?: number } = {}) {
  const gateway = await world.gateway({ probes: false, ...options });
  const gpu = await world.worker('gpu');
  const cpu = await world.worker('cpu');
  return { gateway, gpu, cpu };
}

describe('a query whose worker fails', () => {
  it('is answered by the next tier in the same request, once', async () => {
    const { gateway, gpu, cpu } = await scene();
    gpu.act = 'fails';
    const ids = idsOf();
    const { answer, ...routed } = await gateway.ask({ ids });
    expect(routed).toMatchObject({ tier: 'cpu', reason: 'gpu_down' });
    expect(answer.vectors).toEqual(vectorOf(ids));
    expect([gpu.begun, cpu.begun]).toEqual([[ids[0]], [ids[0]]]);
    expect(gateway.attempts).toEqual(['gpu embedding_failed', 'cpu ok']);
    await world.isAllGivenBack();
  });

  it('is answered by the next tier, too, where its worker turns out to be misaligned while it computes', async () => {
    const { gateway, gpu, cpu } = await scene();
    gpu.act = 'fails';
    gpu.code = 'worker_misaligned';
    const ids = idsOf();
    const { answer, ...routed } = await gateway.ask({ ids });
    expect(routed).toMatchObject({ tier: 'cpu', reason: 'gpu_misaligned' });
    expect(answer.vectors).toEqual(vectorOf(ids));
    cpu.act = 'fails';
    cpu.code = 'worker_misaligned';
    await expect(gateway.ask()).rejects.toMatchObject({ details: { reason: 'gpu_misaligned' } });
    await world.isAllGivenBack();
  });

  it('gets a typed error with the reason when the other one fails, too, and nobody tries a third time', async () => {
    const { gateway, gpu, cpu } = await scene();
    gpu.act = 'fails';
    cpu.act = 'fails';
    await expect(gateway.ask()).rejects.toMatchObject({
      code: 'embedding_failed',
      message: 'the cpu model is broken',
      details: { reason: 'gpu_down' },
    });
    expect([gpu.begun.length, cpu.begun.length]).toEqual([1, 1]);
    await world.isAllGivenBack();
  });

  it('is not tried elsewhere when only the first tier may answer, or when the text is to blame', async () => {
    const { gateway, gpu, cpu } = await scene();
    gpu.act = 'fails';
    await expect(gateway.ask({ firstTierOnly: true })).rejects.toMatchObject({
      code: 'embedding_failed',
      details: { reason: 'gpu_down' },
    });
    gpu.code = 'text_refused';
    await expect(gateway.ask()).rejects.toMatchObject({ code: 'text_refused' });
    expect([gpu.begun.length, cpu.begun.length]).toEqual([2, 0]);
    await world.isAllGivenBack();
  });
});

describe('a query between a tier that reads texts and one that reads token ids', () => {
  it.each([
    ['remote', 'cpu'],
    ['cpu', 'remote'],
  ] as const)('finds what it needs when it goes from %s to %s', async (...tiers) => {
    const gateway = await world.gateway({ probes: false, tiers });
    const [first, second] = [await world.worker(tiers[0]), await world.worker(tiers[1])];
    first.act = 'fails';
    const ids = idsOf();
    const { answer, tier } = await gateway.ask({ ids, text: 'as the model reads it' });
    expect(tier).toBe(tiers[1]);
    expect(answer.vectors).toEqual(vectorOf(ids));
    const [remote, local] = tiers[0] === 'remote' ? [first, second] : [second, first];
    expect([remote.texts, local.texts]).toEqual([[['as the model reads it']], [undefined]]);
  });

  it('is probed with the canary’s text', async () => {
    const gateway = await world.gateway({ probes: false, tiers: ['remote', 'cpu'] });
    const [remote, cpu] = [await world.worker('remote'), await world.worker('cpu')];
    await gateway.probe('remote');
    await gateway.probe('cpu');
    expect([remote.texts, cpu.texts]).toEqual([[[CANARY]], [undefined]]);
  });
});

describe('a query whose worker is silent', () => {
  it('is answered by the next tier within the deadline, and what comes late does no harm', async () => {
    const { gateway, gpu, cpu } = await scene();
    gpu.act = 'is silent';
    const ids = idsOf();
    const { answer, ...routed } = await gateway.ask({ ids, deadlineMs: 5_000 });
    expect(routed).toMatchObject({ tier: 'cpu', reason: 'gpu_down' });
    expect(answer.vectors).toEqual(vectorOf(ids));
    expect((await world.leftOf('gpu')).places).toBe(0);
    gpu.act = 'answers';
    gpu.speakUp();
    await world.isAllGivenBack();
    // The late vector waits for nobody: the next query gets its own.
    const next = idsOf();
    await expect(gateway.ask({ ids: next })).resolves.toMatchObject({ answer: { vectors: vectorOf(next) } });
    expect(gateway.attempts.toSorted()).toEqual(['cpu ok', 'gpu deadline_exceeded', 'gpu ok']);
    expect(cpu.begun).toEqual([ids[0]]);
  });

  it('takes the silent one’s answer when it comes first after all, and that is no failure of the other', async () => {
    const { gateway, gpu, cpu } = await scene();
    for (let n = 0; n < 5; n++) {
      gpu.act = 'is silent';
      cpu.act = 'is silent';
      const ids = idsOf();
      const asked = gateway.ask({ ids });
      await eventually('both have it', () => cpu.begun.includes(ids[0] ?? 0));
      gpu.speakUp();
      await expect(asked).resolves.toMatchObject({ tier: 'gpu', reason: null });
      cpu.speakUp();
      // Silences of the gpu tier open its breaker; that of the cpu tier has no reason to.
      await (await world.redis()).hdel('{embergate}:breakers:space-of-the-tests', 'gpu');
      await world.everyoneLooks();
    }
    expect(gateway.breaker('cpu')).toBe('closed');
    expect(gateway.attempts.filter((line) => line.startsWith('cpu'))).toEqual(Array(5).fill('cpu abandoned'));
    await world.isAllGivenBack();
  });

  it('goes to the next tier, though its own looks as if another worker were idle: that one may be dead, too', async () => {
    const gateway = await world.gateway({ probes: false });
    for (const silent of [await world.worker('gpu'), await world.worker('gpu')]) silent.act = 'is silent';
    await world.worker('cpu');
    const ids = idsOf();
    const answer = { vectors: vectorOf(ids) };
    await expect(gateway.ask({ ids })).resolves.toMatchObject({ tier: 'cpu', reason: 'gpu_down', answer });
  });

  it('goes to another worker of its tier where there is no other tier, and is not degraded', async () => {
    const gateway = await world.gateway({ probes: false });
    // Each has room for one job, as a frozen one has no room for a second.
    const workers = [
      await world.worker('gpu', { concurrency: 1 }),
      await world.worker('gpu', { concurrency: 1 }),
    ];
    for (const worker of workers) worker.act = 'is silent';
    const ids = idsOf();
    const asked = gateway.ask({ ids });
    const silent = await eventually('one has it', () => workers.find(({ begun }) => begun.length === 1));
    for (const worker of workers) if (worker !== silent) worker.act = 'answers';
    await expect(asked).resolves.toMatchObject({
      tier: 'gpu',
      reason: null,
      answer: { vectors: vectorOf(ids) },
    });
    expect(workers.map(({ begun }) => begun)).toEqual([[ids[0]], [ids[0]]]);
    silent.speakUp();
    await world.isAllGivenBack();
  });

  it('is waited for until the deadline where there is nobody else, and then says so', async () => {
    const { gateway, gpu, cpu } = await scene();
    await cpu.stop();
    await world.everyoneLooks();
    gpu.act = 'is silent';
    await expect(gateway.ask({ deadlineMs: 400 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
      details: { reason: 'gpu_down' },
    });
    gpu.speakUp();
    await world.isAllGivenBack();
  });
});

describe('a caller that leaves', () => {
  it('before anybody has begun: nothing is computed, and the place is given back', async () => {
    const { gateway, gpu } = await scene();
    await gpu.stop();
    await world.redis();
    const leaving = new AbortController();
    const asked = gateway.ask({ signal: leaving.signal });
    await eventually('its place is reserved', async () => (await world.leftOf('gpu')).jobs === 1);
    leaving.abort(new Error('the client left'));
    await expect(asked).rejects.toThrow('the client left');
    await world.isAllGivenBack();
    const next = await world.worker('gpu');
    await gateway.ask();
    expect(next.begun).toHaveLength(1);
    expect(gateway.attempts).toEqual(['gpu abandoned', 'gpu ok']);
  });

  it('while a worker computes: the place is given back, and no other tier is bothered', async () => {
    const { gateway, gpu, cpu } = await scene();
    gpu.act = 'is silent';
    const leaving = new AbortController();
    const asked = gateway.ask({ signal: leaving.signal });
    await eventually('it is begun', () => gpu.begun.length === 1);
    leaving.abort(new Error('the client left'));
    await expect(asked).rejects.toThrow('the client left');
    await eventually('its place is free', async () => (await world.leftOf('gpu')).places === 0);
    gpu.speakUp();
    await world.isAllGivenBack();
    expect(cpu.begun).toEqual([]);
  });

  it('before it is admitted: nothing is reserved', async () => {
    const { gateway } = await scene();
    const signal = AbortSignal.abort(new Error('the client left'));
    await expect(gateway.ask({ signal })).rejects.toThrow('the client left');
    expect(gateway.attempts).toEqual([]);
    await world.isAllGivenBack();
  });
});

describe('hedging', () => {
  /** Slower than a hedge waits, and far from overdue. */
  const SLOW_MS = 120;

  it('is off by default: a slow answer that is not overdue is computed once', async () => {
    const { gateway, gpu, cpu } = await scene();
    gpu.delayMs = SLOW_MS;
    await Promise.all(Array.from({ length: 20 }, () => gateway.ask()));
    expect([gpu.begun.length, cpu.begun.length]).toEqual([20, 0]);
  });

  it('sends at most its share of the queries twice, also when they are slow together', async () => {
    const gateway = await world.gateway({ probes: false, hedgePercent: 10 });
    // Slow by its own account, so that it is overdue long after the hedges, on a busy machine too.
    const gpu = await world.worker('gpu', { fit: { a: 600, b: 0 }, concurrency: 128 });
    const cpu = await world.worker('cpu');
    gpu.act = 'is silent';
    let answered = 0;
    const asked = Array.from({ length: 100 }, async () => {
      const answer = await gateway.ask({ deadlineMs: 60_000 });
      answered += 1;
      return answer;
    });
    await eventually('the share is answered by the other tier', () => answered === 10);
    gpu.speakUp();
    const answers = await Promise.all(asked);
    expect(cpu.begun).toHaveLength(10);
    expect(answers.filter(({ tier }) => tier === 'cpu')).toHaveLength(10);
    expect(gateway.breaker('gpu')).toBe('closed');
    await world.isAllGivenBack();
  });
});

describe('Redis frozen', () => {
  it('tells a new query within about the time an admission has, and keeps no place when it is back', async () => {
    const { gateway } = await scene();
    await world.freeze();
    const startedAt = performance.now();
    await expect(gateway.ask({ deadlineMs: 60_000 })).rejects.toMatchObject({
      code: 'queue_down',
      details: { reason: 'queue_down', retryAfterMs: 1_000 },
    });
    // Far from the deadline: how near to half a second depends on the machine.
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    world.thaw();
    await world.isAllGivenBack();
    await expect(gateway.ask()).resolves.toMatchObject({ tier: 'gpu' });
  });

  it('keeps nobody beyond its own deadline', async () => {
    const { gateway } = await scene();
    await world.freeze();
    await expect(gateway.ask({ deadlineMs: 50 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
      details: { reason: 'queue_down' },
    });
    world.thaw();
    await world.isAllGivenBack();
  });

  it('lets queries under way say that it is the queue, and speaks against no tier', async () => {
    const gateway = await world.gateway();
    const gpu = await world.worker('gpu');
    await world.worker('cpu');
    gpu.act = 'is silent';
    const asked = Array.from({ length: 10 }, () => gateway.ask({ deadlineMs: 2_000 }));
    await eventually('they are under way', () => gpu.begun.length === 10);
    await world.freeze();
    const outcomes = await Promise.allSettled(asked);
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({ reason: { code: 'queue_down', details: { reason: 'queue_down' } } });
    world.thaw();
    gpu.act = 'answers';
    gpu.speakUp();
    await world.everyoneLooks();
    await expect(gateway.ask()).resolves.toMatchObject({ tier: 'gpu', reason: null });
    expect(gateway.breaker('gpu')).toBe('closed');
    await world.isAllGivenBack();
  });
});
