import type { EmbedJob, EmbedReply } from '@embergate/contracts/embed-job.ts';
import type { Heartbeat, TierName } from '@embergate/contracts/tiers.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import type { EmbedHandler } from '../src/embed-receiver.ts';

export const SPACE = 's';

export const log = createLogger('test', 'silent');

/** What a sender sends where a test does not care: one text of one token, which is its number. */
export const request = (id: number, deadlineMs = 5_000) =>
  ({ tier: 'cpu', lane: 'query', space: SPACE, inputs: [new Uint32Array([id])], deadlineMs }) as const;

export const numberOf = (job: EmbedJob): number => Buffer.from(job.inputs[0] ?? '', 'base64').readUInt32LE();

/** Stands for a model: the vector of a text is its number. */
export const echo: EmbedHandler = (job) =>
  Promise.resolve({
    meta: {
      status: 'ok',
      id: job.id,
      count: 1,
      dimensions: 1,
      workerId: 'w',
      tier: 'cpu',
      variant: 'v',
      device: 'cpu',
      queueMs: 0,
      inferenceMs: 1,
    },
    vectors: new Float32Array([numberOf(job)]),
  } satisfies EmbedReply);

export const beatOf = (workerId: string, tier: TierName = 'cpu'): Omit<Heartbeat, 'at'> => ({
  workerId,
  tier,
  state: 'ready',
  space: SPACE,
  model: 'm',
  variant: 'v',
  device: 'cpu',
  fit: { a: 1, b: 2 },
  batchTokens: 4,
  alignment: null,
});
