import { eventually } from '@embergate/testing/eventually.ts';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { SPACE } from './scripted-worker.ts';
import { idsOf, TierWorld, type Gateway } from './tier-world.ts';

let world: TierWorld;
beforeAll(async () => {
  world = await TierWorld.start();
});
afterAll(() => world.stop());
afterEach(() => world.reset());

const requiredOf = async ({ status }: Gateway): Promise<number[]> =>
  (await status.describe()).tiers.map(({ requiredWorkers }) => requiredWorkers);
const tierLines = ({ warnings }: Gateway) =>
  warnings.filter(({ msg, tier }) => msg === 'tier changed' && tier === 'gpu');

it('a tier without workers is asked for all the same, and both gateways ask for as many', async () => {
  const gateways = [await world.gateway(), await world.gateway()] as const;
  await world.worker('cpu', { fit: { a: 0, b: 1 } });
  for (const { status } of gateways) await status.start();
  expect(await requiredOf(gateways[0])).toEqual([0, 0]);
  // 10,000 tokens to one gateway only, where nobody but the cpu tier is there to take them.
  for (let n = 0; n < 100; n++) await gateways[0].ask({ ids: idsOf(undefined, 100) });
  // 1,000 a second over the last ten, for workers that take 1,000 at 70 % of their time. How fast a worker of the gpu
  // tier is, nobody has ever known. What is counted is read when its five seconds are over.
  for (const gateway of gateways)
    await eventually('one and two', async () => String(await requiredOf(gateway)) === '1,2');
});

it('each change of a tier’s state is said once, with what it was decided by', async () => {
  const gateway = await world.gateway();
  await gateway.status.start();
  const gpu = await world.worker('gpu');
  await eventually('it is ready', () => tierLines(gateway).length === 1);
  await world.load('gpu', 1_000_000);
  await eventually('it is saturated', () => tierLines(gateway).length === 2);
  await gateway.status.describe();
  await gpu.stop();
  await eventually('it is gone', () => tierLines(gateway).length === 3);
  await gateway.status.describe();
  expect(tierLines(gateway)).toMatchObject([
    { from: 'down', to: 'ready', workers: 1, objectiveMs: 1_000, predictedMs: expect.any(Number) },
    { from: 'ready', to: 'saturated', workers: 1, aheadTokens: 1_000_000 },
    { from: 'saturated', to: 'down', workers: 0, predictedMs: null },
  ]);
});

it('jobs that a dead tier will never take are swept when nobody waits for them', async () => {
  const gateway = await world.gateway();
  await world.worker('gpu').then((gpu) => gpu.stop());
  const dying = await world.gateway({ probes: false });
  const wanted = { tier: 'gpu', lane: 'query', space: SPACE, inputs: [idsOf()], deadlineMs: 2_000 } as const;
  const sent = dying.sender.send(wanted);
  await eventually('it waits', async () => (await world.leftOf('gpu')).jobs === 1);
  // As a kill: it cannot take back what it has sent.
  dying.redis.disconnect();
  await expect(sent).rejects.toMatchObject({ code: 'deadline_exceeded' });
  expect((await world.leftOf('gpu')).jobs).toBe(1);
  await gateway.status.start();
  await eventually('it is swept', async () => (await world.leftOf('gpu')).jobs === 0);
});

it('a queue that hangs does not hang who asks about the cluster', async () => {
  const gateway = await world.gateway();
  await world.freeze();
  const tiers = [{ name: 'gpu' }, { name: 'cpu' }];
  await expect(gateway.status.describe()).resolves.toMatchObject({ queue: 'down', tiers });
  world.thaw();
  await expect(gateway.status.describe()).resolves.toMatchObject({ queue: 'ok', tiers });
});
