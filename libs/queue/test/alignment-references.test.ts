import { NO_REFERENCE, type AlignmentReference } from '@embergate/contracts/alignment.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AlignmentReferences } from '../src/alignment-references.ts';
import { QueueOnRedis } from './queue-on-redis.ts';

const SPACE = 'm@1';
const TTL_MS = 60_000;
const reference = (value: number): AlignmentReference => ({
  dimensions: 2,
  canaries: [{ collection: 'default', text: 'a canary', ids: Uint32Array.of(1, 7, 2) }],
  sample: Float32Array.of(value, 0, 0, 1),
});

describe('what variants are compared with, in Redis', () => {
  let queue: QueueOnRedis;
  beforeAll(async () => (queue = await QueueOnRedis.start('alignment-references')));
  afterAll(() => queue.stop());
  afterEach(() => queue.clear());
  const references = async () => new AlignmentReferences(await queue.connect('fail-fast'));

  it('reaches workers of its space, with another version for other contents', async () => {
    const [gateway, worker] = [await references(), await references()];
    expect([await worker.version(SPACE), await worker.read(SPACE)]).toEqual([null, null]);
    await gateway.publish(SPACE, reference(0.5), TTL_MS);
    const first = await worker.read(SPACE);
    expect(first?.reference).toEqual(reference(0.5));
    expect(await worker.version(SPACE)).toBe(first?.version);
    await gateway.publish(SPACE, reference(0.5), TTL_MS);
    expect(await worker.version(SPACE)).toBe(first?.version);
    await gateway.publish(SPACE, reference(0.25), TTL_MS);
    expect(await worker.version(SPACE)).not.toBe(first?.version);
    expect(await worker.version('m@2')).toBeNull();
  });

  it('goes when nobody renews it, and can be withdrawn, which is not the same', async () => {
    const [gateway, worker] = [await references(), await references()];
    await gateway.publish(SPACE, reference(0.5), 50);
    await eventually('it is gone', async () => (await worker.version(SPACE)) === null);
    await gateway.publish(SPACE, reference(0.5), TTL_MS);
    await gateway.withdraw(SPACE, TTL_MS);
    expect([await worker.version(SPACE), await worker.read(SPACE)]).toEqual([NO_REFERENCE, null]);
  });

  it('is published by one gateway at a time, and by the next that asks when that one leaves its turn', async () => {
    const [one, other] = [await references(), await references()];
    expect([await one.takeTurn(SPACE, TTL_MS), await other.takeTurn(SPACE, TTL_MS)]).toEqual([true, false]);
    await one.leaveTurn(SPACE);
    expect(await other.takeTurn(SPACE, 50)).toBe(true);
    await eventually('the turn of one that was killed is over', () => one.takeTurn(SPACE, TTL_MS));
  });
});
