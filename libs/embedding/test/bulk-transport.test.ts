import { AppError } from '@embergate/contracts/errors.ts';
import type { Heartbeat, TierName } from '@embergate/contracts/tiers.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { describe, expect, it } from 'vitest';
import { BulkTransport } from '../src/bulk-transport.ts';
import type { EmbedAnswer, EmbedTransport, SendRequest, WorkerView } from '../src/transport.ts';

const SPACE = 's';
const job = { space: SPACE, inputs: [new Uint32Array([1])], deadlineMs: 60_000 };
const lost = () => new AppError('queue_down', 'The queue has lost a job.', { details: { isLost: true } });

const beatOf = (tier: TierName, change: Partial<Heartbeat> = {}): Heartbeat => ({
  workerId: `${tier}-1`,
  tier,
  state: 'ready',
  space: SPACE,
  model: 'm',
  variant: 'v',
  device: 'cpu',
  fit: null,
  batchTokens: 0,
  alignment: null,
  at: 0,
  ...change,
});

/** Stands for the heartbeats: the test says who lives, and whether anybody knows. */
class FakeWorkers implements WorkerView {
  beats: Heartbeat[];
  known = true;

  constructor(...tiers: TierName[]) {
    this.beats = tiers.map((tier) => beatOf(tier));
  }

  living(): Heartbeat[] {
    return this.beats;
  }

  silent(): Heartbeat[] {
    return [];
  }

  isKnown(): boolean {
    return this.known;
  }
}

/** Stands for the queue: the test answers what was sent. */
class FakeTransport implements EmbedTransport {
  readonly sent: (SendRequest & { answer: () => void; fail: (error: unknown) => void })[] = [];

  send(request: SendRequest): Promise<EmbedAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<EmbedAnswer>();
    const onAbort = (): void => reject(request.signal?.reason as Error);
    request.signal?.addEventListener('abort', onAbort, { once: true });
    const answer = (): void => resolve({ meta: { tier: request.tier } as EmbedAnswer['meta'], vectors });
    this.sent.push({ ...request, answer, fail: reject });
    return promise;
  }

  /** @returns the job that was sent as the `count`th, once it is. */
  async nth(count: number): Promise<FakeTransport['sent'][number]> {
    return eventually(`job ${count} is sent`, () => this.sent[count - 1]);
  }
}
const vectors = new Float32Array([1]);

function bulk(workers: FakeWorkers, { waits, slowStartMs }: { waits: boolean; slowStartMs?: number }) {
  const transport = new FakeTransport();
  const waited: string[] = [];
  const onWait = (): void => void waited.push('waiting');
  const slow = slowStartMs === undefined ? {} : { slowStartMs };
  const parts = { transport, workers, space: SPACE, tiers: ['gpu', 'cpu'] as const, ...slow };
  const { send } = new BulkTransport(waits ? { ...parts, onWait } : parts);
  return { transport, waited, send };
}

/** Looks that the transport takes at the workers, each 500 ms: longer than it needs to give a tier up. */
async function lookingFor(ms: number): Promise<void> {
  const begun = performance.now();
  await eventually('time passes', () => performance.now() - begun > ms);
}

describe.concurrent('a bulk job and the tiers', () => {
  it('goes to the first declared tier with a ready worker of its space', async () => {
    const workers = new FakeWorkers('cpu');
    workers.beats.push(beatOf('gpu', { state: 'starting' }), beatOf('gpu', { space: 'another' }));
    const { transport, send } = bulk(workers, { waits: false });
    const first = send(job);
    expect(await transport.nth(1)).toMatchObject({ tier: 'cpu', lane: 'bulk', space: SPACE });
    // Each job is decided on anew.
    workers.beats.push(beatOf('gpu'));
    const second = send(job);
    expect(await transport.nth(2)).toMatchObject({ tier: 'gpu', lane: 'bulk' });
    for (const { answer } of transport.sent) answer();
    expect((await first).meta.tier).toBe('cpu');
    expect((await second).meta.tier).toBe('gpu');
  });

  it('goes to another tier when its own has lost all its workers, and leaves nothing behind', async () => {
    const workers = new FakeWorkers('gpu', 'cpu');
    const { transport, send } = bulk(workers, { waits: true });
    const sent = send(job);
    const first = await transport.nth(1);
    expect(first.tier).toBe('gpu');
    workers.beats = [beatOf('cpu')];
    const second = await transport.nth(2);
    expect(second.tier).toBe('cpu');
    expect(first.signal?.aborted).toBe(true);
    // Of the time that its caller gives it, some has passed.
    expect(second.deadlineMs).toBeLessThan(job.deadlineMs);
    second.answer();
    expect((await sent).vectors).toBe(vectors);
  });

  it('stays where it is while workers start there, while nobody else is ready, and while nobody knows who lives', async () => {
    const starting = new FakeWorkers('gpu', 'cpu');
    const alone = new FakeWorkers('gpu');
    const unknown = new FakeWorkers('gpu', 'cpu');
    const jobs = [starting, alone, unknown].map((workers) => ({
      workers,
      ...bulk(workers, { waits: true }),
    }));
    const answers = jobs.map(({ send }) => send(job));
    for (const { transport } of jobs) await transport.nth(1);
    starting.beats = [beatOf('gpu', { state: 'starting' }), beatOf('cpu')];
    alone.beats = [];
    unknown.beats = [beatOf('cpu')];
    unknown.known = false;
    await lookingFor(3_500);
    for (const { transport } of jobs) {
      expect(transport.sent).toHaveLength(1);
      transport.sent[0]?.answer();
    }
    for (const answer of await Promise.all(answers)) expect(answer.meta.tier).toBe('gpu');
  });

  it('leaves a tier whose workers do nothing but start, as behind an API that stays away', async () => {
    const workers = new FakeWorkers('gpu', 'cpu');
    const { transport, send } = bulk(workers, { waits: true, slowStartMs: 1_000 });
    const sent = send(job);
    await transport.nth(1);
    workers.beats = [beatOf('gpu', { state: 'starting' }), beatOf('cpu')];
    const second = await transport.nth(2);
    expect(second.tier).toBe('cpu');
    second.answer();
    await sent;
  });

  it('leaves a tier whose workers are all misaligned', async () => {
    const workers = new FakeWorkers('gpu', 'cpu');
    const { transport, send } = bulk(workers, { waits: true });
    const sent = send(job);
    await transport.nth(1);
    workers.beats = [beatOf('gpu', { state: 'misaligned' }), beatOf('cpu')];
    const second = await transport.nth(2);
    expect(second.tier).toBe('cpu');
    second.answer();
    await sent;
  });

  it('that the queue lost is sent again, as often as it is lost', async () => {
    const { transport, send } = bulk(new FakeWorkers('cpu'), { waits: false });
    const sent = send(job);
    (await transport.nth(1)).fail(lost());
    (await transport.nth(2)).fail(lost());
    (await transport.nth(3)).answer();
    expect((await sent).meta.tier).toBe('cpu');
  });

  it('that failed is its caller’s to judge', async () => {
    const { transport, send } = bulk(new FakeWorkers('cpu'), { waits: true });
    for (const code of ['queue_down', 'deadline_exceeded', 'embedding_failed'] as const) {
      const sent = send(job);
      transport.sent.at(-1)?.fail(new AppError(code, 'as it came'));
      await expect(sent).rejects.toMatchObject({ code, message: 'as it came' });
    }
    expect(transport.sent).toHaveLength(3);
  });

  it('of a caller that leaves ends with the caller’s reason, also while it waits for a worker', async () => {
    const { transport, send } = bulk(new FakeWorkers('cpu'), { waits: true });
    const leaving = new AbortController();
    const sent = send({ ...job, signal: leaving.signal });
    const waiting = bulk(new FakeWorkers(), { waits: true });
    const unsent = waiting.send({ ...job, signal: leaving.signal });
    leaving.abort(new Error('the run was cancelled'));
    await expect(sent).rejects.toThrow('the run was cancelled');
    await expect(unsent).rejects.toThrow('the run was cancelled');
    await expect(send({ ...job, signal: leaving.signal })).rejects.toThrow('the run was cancelled');
    expect(transport.sent).toHaveLength(1);
    expect(waiting.transport.sent).toHaveLength(0);
  });

  it('waits for the first ready worker, and has all its time from then on', async () => {
    const workers = new FakeWorkers();
    const { transport, waited, send } = bulk(workers, { waits: true });
    const sent = send({ ...job, deadlineMs: 300 });
    // Longer than the job's own time, which is for its wait behind others.
    await lookingFor(800);
    expect(waited).toEqual(['waiting']);
    workers.beats = [beatOf('cpu', { state: 'starting' })];
    await lookingFor(800);
    expect(transport.sent).toHaveLength(0);
    workers.beats = [beatOf('cpu')];
    const { answer, deadlineMs } = await transport.nth(1);
    expect(deadlineMs).toBeGreaterThan(200);
    answer();
    await sent;
  });

  it('is refused where no worker is ready and somebody waits for the answer', async () => {
    const { transport, send } = bulk(new FakeWorkers(), { waits: false });
    await expect(send(job)).rejects.toMatchObject({
      code: 'no_tier_available',
      details: { reason: 'gpu_absent', retryAfterMs: 2_000 },
    });
    expect(transport.sent).toHaveLength(0);
  });
});
