import { BulkTransport } from '@embergate/embedding/bulk-transport.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { Queue } from 'bullmq';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Redis } from '../src/connection.ts';
import type { EmbedHandler } from '../src/embed-receiver.ts';
import { HeartbeatSource, HeartbeatWatch } from '../src/heartbeats.ts';
import { KEY_PREFIX, SpaceKeys } from '../src/names.ts';
import { beatOf, echo, log, numberOf, request, SPACE } from './fake-model.ts';
import { QueueOnRedis } from './queue-on-redis.ts';

const WORKER = fileURLToPath(new URL('worker-process.ts', import.meta.url));
const bulk = (id: number, deadlineMs = 60_000) => ({ ...request(id, deadlineMs), lane: 'bulk' }) as const;

describe('what waits in the lanes, and who takes it', () => {
  let queue: QueueOnRedis;
  beforeAll(async () => (queue = await QueueOnRedis.start('lanes')));
  afterAll(() => queue.stop());
  afterEach(() => queue.clear());

  /** The lane as BullMQ has it. */
  function lane(redis: Redis, name: 'query' | 'bulk'): Queue {
    const made = new Queue(new SpaceKeys(SPACE).laneQueue('cpu', name), {
      connection: redis,
      prefix: KEY_PREFIX,
    });
    queue.afterwards(() => made.close());
    return made;
  }

  /** A worker of the lane; `computed` are the numbers of its texts. */
  async function worker(name: 'query' | 'bulk'): Promise<{ computed: number[] }> {
    const computed: number[] = [];
    const handler: EmbedHandler = (job, lane) => {
      computed.push(numberOf(job));
      return echo(job, lane);
    };
    await queue.receiver({ lane: name, handler });
    return { computed };
  }

  /** A worker of its own process; `taken` are the numbers of its texts. */
  async function workerProcess(
    name: 'query' | 'bulk',
    mode: 'echo' | 'hang',
  ): Promise<{ pid: number; taken: unknown[]; kill: () => Promise<void> }> {
    const child = spawn(process.execPath, [WORKER, queue.url, name, mode], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const exited = once(child, 'exit');
    const kill = async (): Promise<void> => {
      child.kill('SIGKILL');
      await exited;
    };
    queue.afterwards(kill);
    const taken: unknown[] = [];
    child.on('message', (message) => taken.push(message));
    await eventually('it takes jobs', () => taken.shift() === 'ready');
    return { pid: Number(child.pid), taken, kill };
  }

  const jobsIn = async (lane: Queue): Promise<number> => {
    const counts = await lane.getJobCounts('wait', 'active');
    return (counts['wait'] ?? 0) + (counts['active'] ?? 0);
  };

  it('a query whose caller left is taken out of the lane, and never computed', async () => {
    const gateway = await queue.sender();
    const queries = lane(gateway.redis, 'query');
    const leaving = new AbortController();
    const left = gateway.send({ ...request(1, 60_000), signal: leaving.signal });
    await eventually('it is in the lane', async () => (await jobsIn(queries)) === 1);
    leaving.abort(new Error('the client left'));
    await expect(left).rejects.toThrow('the client left');
    await eventually('it is gone from there', async () => (await jobsIn(queries)) === 0);
    const { computed } = await worker('query');
    await gateway.send(request(2));
    expect(computed).toEqual([2]);
  });

  it('a query that is late is not computed, though its place is still reserved', async () => {
    const gateway = await queue.sender();
    const jobId = 'late';
    const redis = await queue.connect('patient');
    const clock = await queue.clock(redis);
    const queries = lane(redis, 'query');
    const place = { tier: 'cpu', lane: 'query', jobId } as const;
    await gateway.admissions.reserve({
      ...place,
      ...{ tokens: 1, ttlMs: 60_000, maxReservedTokens: 0, breakerText: null },
    });
    gateway.sender.send({ ...request(1, 1_000), jobId }).catch(() => undefined);
    const deadline = clock.now() + 1_000;
    await eventually('it is in the lane', async () => (await jobsIn(queries)) === 1);
    // As a kill: nobody takes the job out of the lane.
    gateway.redis.disconnect();
    await eventually('its deadline has passed', () => clock.now() > deadline);
    expect(await jobsIn(queries)).toBe(1);
    const { computed } = await worker('query');
    await (await queue.sender()).send(request(2));
    expect(computed).toEqual([2]);
  });

  it('what a caller leaves behind is gone at once: in the lane, and in the lane’s books', async () => {
    const gateway = await queue.sender();
    for (const name of ['query', 'bulk'] as const) {
      const inLane = lane(gateway.redis, name);
      const leaving = new AbortController();
      const waiting = Array.from({ length: 20 }, (_, id) =>
        gateway.send({ ...request(id, 60_000), lane: name, signal: leaving.signal }),
      );
      // Some of them are in the lane, some on their way there.
      await Promise.race([...waiting, eventually('one is there', async () => (await jobsIn(inLane)) > 0)]);
      leaving.abort(new Error('the client left'));
      for (const left of waiting) await expect(left).rejects.toThrow('the client left');
      await eventually('the lane is empty', async () => (await jobsIn(inLane)) === 0);
      if (name === 'bulk') {
        const { tokens, expiry, total } = new SpaceKeys(SPACE).reservations('cpu', 'bulk');
        await eventually('nothing is reserved', async () => {
          return (await gateway.redis.exists(tokens, expiry, total)) === 0;
        });
      }
    }
  });

  it('a bulk job whose sender left is not computed either', async () => {
    const gateway = await queue.sender();
    const leaving = new AbortController();
    // In the same moment: the job may come into the lane after it was taken out.
    const left = Array.from({ length: 20 }, (_, id) =>
      gateway.send({ ...bulk(id), signal: leaving.signal }).catch(() => undefined),
    );
    leaving.abort(new Error('the run was cancelled'));
    await Promise.all(left);
    const { computed } = await worker('bulk');
    await gateway.send(bulk(99));
    expect(computed).toEqual([99]);
    await eventually('the lane is empty', async () => (await jobsIn(lane(gateway.redis, 'bulk'))) === 0);
  });

  it('when a worker is killed, another one gets its bulk job, and its query is for the sender to decide on', async () => {
    const gateway = await queue.sender();
    const dying = [await workerProcess('query', 'hang'), await workerProcess('bulk', 'hang')];
    const waiting = gateway.send(bulk(7));
    const query = gateway.send(request(8, 60_000));
    query.catch(() => undefined);
    await eventually('both are taken', () => dying.every(({ taken }) => taken.length === 1));
    for (const { kill } of dying) await kill();
    const workers = { query: await worker('query'), bulk: await worker('bulk') };
    expect((await waiting).vectors[0]).toBe(7);
    const queries = lane(gateway.redis, 'query');
    await eventually('the query is out of the lane', async () => (await jobsIn(queries)) === 0, 60_000);
    expect(workers).toMatchObject({ query: { computed: [] }, bulk: { computed: [7] } });
  });

  it('a bulk job that the queue has lost is sent again', async () => {
    const gateway = await queue.sender();
    const bulkLane = lane(gateway.redis, 'bulk');
    const redis = await queue.connect('patient');
    const clock = await queue.clock(redis);
    const source = new HeartbeatSource(redis, clock, () => beatOf('w1'));
    await source.start();
    queue.afterwards(() => source.stop());
    const workers = new HeartbeatWatch(redis, clock, log);
    await workers.start();
    queue.afterwards(() => workers.stop());
    const { send } = new BulkTransport({ transport: gateway.sender, workers, space: SPACE, tiers: ['cpu'] });
    const waiting = send({ space: SPACE, inputs: [new Uint32Array([5])], deadlineMs: 60_000 });
    await eventually('it is in the lane', async () => (await jobsIn(bulkLane)) === 1);
    // As after a kill of Redis, which forgets its last second.
    await redis.del(await redis.keys('{embergate}:embed-s-cpu-bulk:*'));
    const { computed } = await worker('bulk');
    expect((await waiting).vectors[0]).toBe(5);
    expect(computed).toEqual([5]);
    const { tokens, expiry, total } = new SpaceKeys(SPACE).reservations('cpu', 'bulk');
    await eventually('nothing is reserved', async () => (await redis.exists(tokens, expiry, total)) === 0);
  });

  it('the lanes of a tier without workers are rid of what is past its deadline, and of nothing else', async () => {
    const gateway = await queue.sender();
    const redis = await queue.connect('patient');
    const clock = await queue.clock(redis);
    const queries = lane(redis, 'query');
    // A gateway that is killed leaves its jobs behind: two that a worker took, and two that nobody did.
    const killed = await queue.sender();
    const dying = await workerProcess('query', 'hang');
    for (const id of [1, 2]) killed.send(request(id, 3_000)).catch(() => undefined);
    await eventually('they are taken', () => dying.taken.length === 2);
    for (const id of [3, 4]) killed.send(request(id, 3_000)).catch(() => undefined);
    const deadline = clock.now() + 3_000;
    const waiting = gateway.send(request(5, 60_000));
    await eventually('all are in the lane', async () => (await jobsIn(queries)) === 5);
    await dying.kill();
    killed.redis.disconnect();
    await eventually('the deadline has passed', () => clock.now() > deadline);
    // One job's lock still holds, as if its worker lived; the other's has run out.
    const [lock, ...others] = await redis.keys('{embergate}:embed-s-cpu-query:*:lock');
    expect(others).toHaveLength(1);
    await redis.del(others);
    // Its clock may be some milliseconds behind the one that was looked at here.
    let removed = 0;
    const sweep = () => gateway.sender.sweep(SPACE, 'cpu', 'query');
    await eventually('three are removed', async () => (removed += await sweep()) >= 3);
    expect([removed, await sweep()]).toEqual([3, 0]);
    expect(await gateway.sender.sweep(SPACE, 'cpu', 'bulk')).toBe(0);
    expect(await queries.getJobCounts('wait', 'active')).toMatchObject({ wait: 1, active: 1 });
    await redis.del(String(lock));
    expect(await gateway.sender.sweep(SPACE, 'cpu', 'query')).toBe(1);
    // The one that somebody waits for is answered when a worker comes.
    await worker('query');
    expect((await waiting).vectors[0]).toBe(5);
  });

  it('a frozen worker holds back no query that another worker of the lane can take', async () => {
    const { pid, taken } = await workerProcess('query', 'echo');
    const gateway = await queue.sender();
    const { computed } = await worker('query');
    for (let round = 0; round < 15; round++) {
      queue.frozen.freeze(pid);
      while (!isStopped(pid));
      // It may be the first in the line of those that Redis wakes.
      const waiting = gateway.send(request(round, 3_000));
      expect((await waiting).vectors[0]).toBe(round);
      expect(computed.at(-1)).toBe(round);
      queue.frozen.thaw(pid);
      // It stands in the line again when it has had its turn.
      const turns = taken.length;
      await eventually('it takes a query', async () => {
        await gateway.send(request(1_000));
        return taken.length > turns;
      });
    }
  });

  it('when all is over, what is left in Redis does not grow with what was done', async () => {
    const gateway = await queue.sender();
    const redis = await queue.connect('patient');
    await worker('query');
    await worker('bulk');
    const rounds: string[][] = [];
    for (let round = 0; round < 2; round++) {
      const ids = Array.from({ length: 50 }, (_, id) => id);
      await Promise.all(ids.flatMap((id) => [gateway.send(request(id)), gateway.send(bulk(id))]));
      const lanes = [lane(redis, 'query'), lane(redis, 'bulk')] as const;
      for (const inLane of lanes)
        await eventually('the lane is empty', async () => (await jobsIn(inLane)) === 0);
      const keys = await redis.keys('*');
      rounds.push(keys.filter((key) => !/:(marker|stalled|stalled-check)$/.test(key)).toSorted());
    }
    expect(rounds[1]).toEqual(rounds[0]);
    expect(rounds[1]?.filter((key) => /reserved|batches/.test(key))).toEqual([]);
    const inboxes = rounds[1]?.filter((key) => key.includes(':inbox:')) ?? [];
    expect(inboxes).toHaveLength(1);
    for (const inbox of inboxes) expect(await redis.pttl(inbox)).toBeGreaterThan(0);
  });
});

/** Linux says so in its third word, after the name. */
function isStopped(pid: number): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T');
}
