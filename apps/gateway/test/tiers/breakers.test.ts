import { eventually } from '@embergate/testing/eventually.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ScriptedWorker } from './scripted-worker.ts';
import { TierWorld, type Gateway } from './tier-world.ts';

let world: TierWorld;
beforeAll(async () => {
  world = await TierWorld.start();
});
afterAll(() => world.stop());
afterEach(() => world.reset());

/** Two gateways before one worker of each tier. */
async function scene() {
  const gateways = [await world.gateway(), await world.gateway()] as const;
  const gpu = await world.worker('gpu');
  const cpu = await world.worker('cpu');
  return { gateways, gpu, cpu };
}
const both = (gateways: readonly Gateway[], state: string): boolean =>
  gateways.every((gateway) => gateway.breaker() === state);

/** Three queries in a row meet a broken model, and both gateways have heard of it. */
async function breakDown(gateways: readonly [Gateway, Gateway], gpu: ScriptedWorker): Promise<void> {
  gpu.act = 'fails';
  for (let n = 0; n < 3; n++)
    await expect(gateways[0].ask()).resolves.toMatchObject({ tier: 'cpu', reason: 'gpu_down' });
  await eventually('both breakers are open', () =>
    gateways.every((gateway) => gateway.breaker() !== 'closed'),
  );
}
const breakerLines = ({ warnings }: Gateway) => warnings.filter(({ msg }) => msg === 'breaker changed');

describe('a tier that fails', () => {
  it('is left by all gateways after three failures that one of them saw', async () => {
    const { gateways, gpu } = await scene();
    await breakDown(gateways, gpu);
    const met = gpu.begun.length;
    // The other gateway has never met it, and its query goes elsewhere at once.
    await expect(gateways[1].ask()).resolves.toMatchObject({ tier: 'cpu', reason: 'gpu_down' });
    expect(gateways[1].attempts).toEqual(['cpu ok']);
    expect(gpu.begun).toHaveLength(met);
  });

  it('is left after three silences, too', async () => {
    const { gateways, gpu } = await scene();
    gpu.act = 'is silent';
    const asked = Array.from({ length: 3 }, () => gateways[0].ask());
    for (const { tier } of await Promise.all(asked)) expect(tier).toBe('cpu');
    await eventually('both know', () => gateways.every((gateway) => gateway.breaker() !== 'closed'));
  });

  it('is tried by one gateway at a time, with a canary and not with a query', async () => {
    const { gateways, gpu } = await scene();
    await breakDown(gateways, gpu);
    const met = gpu.begun.length;
    const probes = 3;
    await eventually('it has been tried', () => gpu.canaries >= probes);
    // Every canary that failed has opened it once more: no second one beside it.
    await eventually('as many openings as tries', () => {
      const { opens } = gateways[0].board.load('gpu').breaker;
      return both(gateways, 'open') && opens === 1 + gpu.canaries;
    });
    expect(gpu.begun).toHaveLength(met);
  });

  it('comes back by itself when it is well again: probe, ramp, closed, and both gateways agree', async () => {
    const { gateways, gpu } = await scene();
    await breakDown(gateways, gpu);
    gpu.act = 'answers';
    await eventually('it ramps', () => gateways[1].board.load('gpu').breaker.state === 'ramp');
    // A part of the queries at first: twenty in twenty have a chance of one in 10^26 there.
    const tiers = await Promise.all(Array.from({ length: 20 }, () => gateways[1].ask()));
    expect(new Set(tiers.map(({ tier }) => tier))).toContain('cpu');
    await eventually('both are closed', () => both(gateways, 'closed'));
    await expect(gateways[1].ask()).resolves.toMatchObject({ tier: 'gpu', reason: null });
    await world.isAllGivenBack();
  });

  it('that fails once while it returns is left at once', async () => {
    const { gateways, gpu } = await scene();
    await breakDown(gateways, gpu);
    gpu.act = 'answers';
    await eventually('it ramps', () => gateways[0].board.load('gpu').breaker.state === 'ramp');
    const { opens } = gateways[0].board.load('gpu').breaker;
    gpu.act = 'fails';
    const met = gpu.begun.length;
    while (gpu.begun.length === met) await gateways[0].ask();
    await eventually('it is open', () => gateways[0].breaker() === 'open');
    expect(gateways[0].board.load('gpu').breaker.opens).toBe(opens + 1);
  });

  it('is not left again because of a silence that began before it was left', async () => {
    const gateways = [await world.gateway(), await world.gateway()] as const;
    // Overdue after a second and a half: by then its breaker lets the first queries through again.
    const gpu = await world.worker('gpu', { fit: { a: 600, b: 0 } });
    await world.worker('cpu');
    gpu.act = 'is silent';
    const asked = gateways[0].ask({ deadlineMs: 10_000 });
    await eventually('it is begun', () => gpu.begun.length === 1);
    await breakDown(gateways, gpu);
    gpu.act = 'answers';
    await expect(asked).resolves.toMatchObject({ answer: { meta: { status: 'ok' } } });
    await eventually('both are closed', () => both(gateways, 'closed'));
    expect(breakerLines(gateways[0]).filter(({ to }) => to === 'open')).toHaveLength(1);
    gpu.speakUp();
    await world.isAllGivenBack();
  });

  it('has paid for its old failures when it is back: one more does not open it', async () => {
    const { gateways, gpu } = await scene();
    await breakDown(gateways, gpu);
    gpu.act = 'answers';
    await eventually('both are closed', () => both(gateways, 'closed'));
    gpu.act = 'fails';
    await gateways[0].ask();
    gpu.act = 'answers';
    for (let n = 0; n < 3; n++) await expect(gateways[0].ask()).resolves.toMatchObject({ tier: 'gpu' });
    expect(both(gateways, 'closed')).toBe(true);
  });

  it('is said once a change, by each gateway, with figures', async () => {
    const { gateways, gpu } = await scene();
    await breakDown(gateways, gpu);
    await Promise.all(Array.from({ length: 20 }, () => gateways[1].ask()));
    gpu.act = 'answers';
    await eventually('both are closed', () => both(gateways, 'closed'));
    for (const gateway of gateways) {
      const lines = breakerLines(gateway);
      const [first] = lines;
      expect(first).toMatchObject({
        tier: 'gpu',
        from: 'closed',
        to: 'open',
        reason: '3 of 3 calls failed: the gpu model is broken',
        opens: 1,
        forMs: expect.any(Number),
      });
      expect(first?.['forMs']).toBeGreaterThan(0);
      expect(lines.at(-1)).toMatchObject({ to: 'closed' });
      // Each line begins where the last one ended.
      expect(lines.slice(1).map(({ from }) => from)).toEqual(lines.slice(0, -1).map(({ to }) => to));
    }
  });
});

describe('no breaker is opened', () => {
  it('by callers with next to no time', async () => {
    const { gateways, gpu } = await scene();
    gpu.act = 'is silent';
    for (let n = 0; n < 50; n++) {
      const outcome = await Promise.allSettled([gateways[0].ask({ deadlineMs: 5 + n })]);
      expect(outcome).toMatchObject([{ status: 'rejected' }]);
    }
    // They were not all refused at the door.
    expect(gpu.begun.length).toBeGreaterThan(3);
    gpu.act = 'answers';
    gpu.speakUp();
    await world.isAllGivenBack();
    await expect(gateways[0].ask()).resolves.toMatchObject({ tier: 'gpu', reason: null });
    expect(breakerLines(gateways[0])).toEqual([]);
  });

  it('by callers that leave', async () => {
    const { gateways, gpu } = await scene();
    gpu.act = 'is silent';
    const leaving = new AbortController();
    const asked = Array.from({ length: 10 }, () => gateways[0].ask({ signal: leaving.signal }));
    await eventually('all are begun', () => gpu.begun.length === 10);
    leaving.abort(new Error('the client left'));
    for (const call of asked) await expect(call).rejects.toThrow('the client left');
    gpu.act = 'answers';
    gpu.speakUp();
    await world.isAllGivenBack();
    await expect(gateways[0].ask()).resolves.toMatchObject({ tier: 'gpu' });
    expect(breakerLines(gateways[0])).toEqual([]);
  });

  it('by a tier that is full', async () => {
    const { gateways } = await scene();
    await world.load('gpu', 1_000_000);
    await world.everyoneLooks();
    for (let n = 0; n < 10; n++)
      await expect(gateways[0].ask()).resolves.toMatchObject({ tier: 'cpu', reason: 'gpu_saturated' });
    await expect(gateways[0].ask({ firstTierOnly: true })).rejects.toMatchObject({
      code: 'no_tier_available',
    });
    expect(breakerLines(gateways[0])).toEqual([]);
    expect(gateways[0].breaker()).toBe('closed');
  });

  it('by texts that the model refuses, and by workers that stop', async () => {
    const { gateways, gpu } = await scene();
    gpu.act = 'fails';
    gpu.code = 'text_refused';
    for (let n = 0; n < 5; n++)
      await expect(gateways[0].ask()).rejects.toMatchObject({ code: 'text_refused' });
    gpu.code = 'shutting_down';
    for (let n = 0; n < 5; n++) await expect(gateways[0].ask()).resolves.toMatchObject({ tier: 'cpu' });
    expect(breakerLines(gateways[0])).toEqual([]);
  });
});
