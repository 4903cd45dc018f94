import { Admissions } from '@embergate/queue/admissions.ts';
import { aheadWithin } from '@embergate/routing/tier-view.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { SPACE, vectorOf } from './scripted-worker.ts';
import { idsOf, TierWorld } from './tier-world.ts';

let world: TierWorld;
beforeAll(async () => {
  world = await TierWorld.start();
});
afterAll(() => world.stop());
afterEach(() => world.reset());

describe('a query', () => {
  it('is answered by the first declared tier, and nobody says why', async () => {
    const gateway = await world.gateway();
    const gpu = await world.worker('gpu');
    const cpu = await world.worker('cpu');
    const ids = idsOf();
    const { answer, ...routed } = await gateway.ask({ ids });
    expect(routed).toMatchObject({ tier: 'gpu', reason: null });
    expect(answer.vectors).toEqual(vectorOf(ids));
    expect([gpu.begun.length, cpu.begun.length]).toEqual([1, 0]);
    expect(gateway.attempts).toEqual(['gpu ok']);
    await world.isAllGivenBack();
  });

  it('goes to the next tier with the reason: absent, starting, lost, stalled, saturated', async () => {
    const gateway = await world.gateway();
    await world.worker('cpu');
    await expect(gateway.ask()).resolves.toMatchObject({ tier: 'cpu', reason: 'gpu_absent' });

    const gpu = await world.worker('gpu', { fit: null });
    await gpu.says({ state: 'starting' });
    await world.everyoneLooks();
    await expect(gateway.ask()).resolves.toMatchObject({ tier: 'cpu', reason: 'gpu_starting' });

    await gpu.says({ state: 'stalled', fit: { a: 1, b: 0.1 } });
    await world.everyoneLooks();
    await expect(gateway.ask()).resolves.toMatchObject({ tier: 'cpu', reason: 'gpu_down' });

    await gpu.says({ state: 'ready' });
    await world.load('gpu', 1_000_000);
    await world.everyoneLooks();
    await expect(gateway.ask()).resolves.toMatchObject({ tier: 'cpu', reason: 'gpu_saturated' });
    expect(gpu.begun).toEqual([]);
  });

  it('behind a batch that takes longer than predicted does not wait for it twice', async () => {
    const gateway = await world.gateway();
    const { workerId } = await world.worker('gpu');
    const redis = await world.redis();
    const [seconds = 0, micros = 0] = (await redis.time()).map(Number);
    await world.load('gpu', 1_000);
    const running = { endsAt: seconds * 1_000 + micros / 1_000 - 200, queryTokens: 1_000 };
    await new Admissions(redis, SPACE).setBatch('gpu', workerId, running);
    await world.everyoneLooks();
    expect(gateway.board.view('gpu').aheadTokens).toBe(0);

    // One that nobody has taken back for long was a killed worker's.
    await new Admissions(redis, SPACE).setBatch('gpu', workerId, {
      ...running,
      endsAt: running.endsAt - 2_000,
    });
    await world.everyoneLooks();
    expect(gateway.board.view('gpu').aheadTokens).toBe(1_000);
  });

  it('that must not go elsewhere is refused, and told when to come again', async () => {
    const gateway = await world.gateway();
    const gpu = await world.worker('gpu');
    const cpu = await world.worker('cpu');
    await world.load('gpu', 1_000_000);
    await expect(gateway.ask({ firstTierOnly: true })).rejects.toMatchObject({
      code: 'no_tier_available',
      details: { reason: 'gpu_saturated', retryAfterMs: expect.any(Number) },
    });
    await gpu.stop();
    await world.everyoneLooks();
    await expect(gateway.ask({ firstTierOnly: true })).rejects.toMatchObject({
      code: 'no_tier_available',
      details: { reason: 'gpu_absent' },
    });
    expect(cpu.begun).toEqual([]);
  });

  it('that would be late everywhere is sent nowhere', async () => {
    const gateway = await world.gateway();
    const workers = [
      await world.worker('gpu', { fit: { a: 5_000, b: 1 } }),
      await world.worker('cpu', { fit: { a: 1_900, b: 1 } }),
    ];
    await expect(gateway.ask({ deadlineMs: 2_000 })).rejects.toMatchObject({
      code: 'no_tier_available',
      details: { reason: 'gpu_saturated' },
    });
    // With a little more time the slower of both is no hindrance, and the other one would do.
    await expect(gateway.ask({ deadlineMs: 4_000 })).resolves.toMatchObject({ tier: 'cpu' });
    expect(workers.map(({ begun }) => begun.length)).toEqual([0, 1]);
    expect(gateway.attempts).toEqual(['cpu ok']);
    await world.isAllGivenBack();
  });

  it('finds the tier full that another gateway has just filled, though it has not looked since', async () => {
    const [one, other] = [await world.gateway({ probes: false }), await world.gateway({ probes: false })];
    const gpu = await world.worker('gpu', { fit: { a: 0, b: 10 } });
    await world.worker('cpu');
    gpu.act = 'is silent';
    const tokens = 10;
    const most = aheadWithin(other.board.view('gpu'), tokens, 1_000) + tokens;
    const asked = Array.from({ length: 100 }, (_, n) => (n % 2 ? one : other).ask());
    // That somebody had to go to the cpu tier tells that the gpu tier is full.
    await expect(Promise.race(asked)).resolves.toMatchObject({ tier: 'cpu', reason: 'gpu_saturated' });
    const { tokens: promised } = await world.leftOf('gpu');
    expect(promised).toBeGreaterThan(most / 2);
    expect(promised).toBeLessThanOrEqual(most);
    gpu.speakUp();
    gpu.act = 'answers';
    const tiers = (await Promise.all(asked)).map(({ tier }) => tier);
    expect(new Set(tiers)).toEqual(new Set(['gpu', 'cpu']));
    await world.isAllGivenBack();
  });

  it('asks each tier once that it wanted, however often it is sent and whether anybody takes it', async () => {
    const gateway = await world.gateway();
    const gpu = await world.worker('gpu');
    const cpu = await world.worker('cpu');
    const counted = (): string[] => gateway.demanded.splice(0);
    await gateway.ask();
    expect(counted()).toEqual(['gpu 10']);
    gpu.act = 'fails';
    await gateway.ask();
    expect(counted()).toEqual(['gpu 10', 'cpu 10']);
    cpu.act = 'fails';
    await expect(gateway.ask()).rejects.toMatchObject({ code: 'embedding_failed' });
    expect(counted()).toEqual(['gpu 10', 'cpu 10']);
    await world.load('gpu', 1_000_000);
    await world.load('cpu', 1_000_000);
    await world.everyoneLooks();
    await expect(gateway.ask()).rejects.toMatchObject({ code: 'no_tier_available' });
    expect(counted()).toEqual(['gpu 10', 'cpu 10']);
    // Nobody else could have answered this one.
    await expect(gateway.ask({ firstTierOnly: true })).rejects.toMatchObject({ code: 'no_tier_available' });
    expect(counted()).toEqual(['gpu 10']);
  });
});
