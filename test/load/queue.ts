// `npm run bench:queue`: from enqueue to vector, the product's reply path beside BullMQ's waitUntilFinished. Vectors of
// 3584 floats, no model, real Redis or Valkey over loopback, workers in processes of their own, rounds interleaved.
import { encodeTokenIds } from '@embergate/contracts/embed-job.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { Admissions } from '@embergate/queue/admissions.ts';
import { connectRedis } from '@embergate/queue/connection.ts';
import { EmbedSender } from '@embergate/queue/embed-sender.ts';
import { RedisClock } from '@embergate/queue/redis-clock.ts';
import { stablePort } from '@embergate/testing/free-port.ts';
import { cpuSecondsOf } from '@embergate/testing/process-usage.ts';
import { descendantsOf } from '@embergate/testing/processes.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { Queue, QueueEvents } from 'bullmq';
import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { clusterParts } from './cluster-parts.ts';
import { DIMENSIONS, PLAIN_QUEUE } from './queue-worker.ts';
import { quantile } from './raw.ts';

const ROUNDS = 7;
const CASES = [
  { clients: 1, requests: 500, gateways: 1 },
  { clients: 64, requests: 6_000, gateways: 1 },
  { clients: 64, requests: 6_000, gateways: 2 },
];
const WARM_UP_REQUESTS = 2_000;
const DEADLINE_MS = 30_000;
/** A query of usual length. */
const TOKENS = Uint32Array.from({ length: 16 }, (_, n) => 1_000 + n);

/** One request, to the vector in this process. */
type Way = (jobId: string) => Promise<Float32Array>;

interface Contestant {
  name: string;
  way: Way;
  worker: ChildProcess;
  /** Before the clock starts. */
  prepare?: (jobIds: readonly string[]) => Promise<void>;
}

interface Round {
  times: number[];
  perSecond: number;
  /** Milliseconds of processor time a request. */
  senderCpu: number;
  workerCpu: number;
  redisCpu: number;
}

const log = createLogger('bench', 'warn');

async function startWorker(way: string, url: string): Promise<ChildProcess> {
  const script = fileURLToPath(new URL('./queue-worker.ts', import.meta.url));
  const worker = fork(script, [way, url]);
  await once(worker, 'message');
  return worker;
}

async function cpuMsOf(worker: ChildProcess): Promise<number> {
  const answer = once(worker, 'message') as Promise<[{ usage: NodeJS.CpuUsage }]>;
  worker.send({ type: 'usage' });
  const [{ usage }] = await answer;
  return (usage.user + usage.system) / 1_000;
}

/** The product's own: a query is admitted to its tier, sent, and answered on the inbox. */
async function productWays(url: string) {
  const redis = await connectRedis({ url, patience: 'fail-fast', log });
  const clock = new RedisClock(redis);
  await clock.start();
  const sender = new EmbedSender(redis, clock, log);
  const admissions = new Admissions(redis, 'bench');
  const job = { tier: 'cpu', lane: 'query' } as const;
  const anyLoad = { maxReservedTokens: Infinity, breakerText: null };
  const admit = async (jobId: string): Promise<void> => {
    const place = { ...job, ...anyLoad, jobId, tokens: TOKENS.length, ttlMs: DEADLINE_MS };
    const { admitted } = await admissions.reserve(place);
    if (!admitted) throw new Error('not admitted');
  };
  const send: Way = async (jobId) => {
    const request = { ...job, jobId, space: 'bench', inputs: [TOKENS], deadlineMs: DEADLINE_MS };
    return (await sender.send(request)).vectors;
  };
  return {
    send,
    admitAll: async (jobIds: readonly string[]) => void (await Promise.all(jobIds.map(admit))),
    admitAndSend: async (jobId: string) => {
      await admit(jobId);
      return send(jobId);
    },
    close: async () => {
      await sender.close();
      clock.stop();
      redis.disconnect();
    },
  };
}

/** As its documentation shows it, with the vector as compact as a return value can be. */
async function plainWay(url: string): Promise<{ way: Way; close: () => Promise<void> }> {
  const { hostname: host, port } = new URL(url);
  const connection = { host, port: Number(port) };
  const queue = new Queue(PLAIN_QUEUE, { connection });
  queue.setMaxListeners(0);
  const events = new QueueEvents(PLAIN_QUEUE, { connection });
  events.setMaxListeners(0);
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady()]);
  const data = { space: 'bench', inputs: [encodeTokenIds(TOKENS)] };
  // Removed at once, the result would be gone before it is read.
  const options = { attempts: 1, removeOnComplete: { count: 1_000 }, removeOnFail: true };
  return {
    way: async () => {
      const job = await queue.add('embed', data, options);
      const encoded = (await job.waitUntilFinished(events, DEADLINE_MS)) as string;
      const bytes = new Uint8Array(Buffer.from(encoded, 'base64'));
      return new Float32Array(bytes.buffer, 0, bytes.byteLength >> 2);
    },
    close: async () => {
      await events.close();
      await queue.close();
    },
  };
}

async function runRound(
  { way, worker, prepare }: Contestant,
  { clients, requests }: { clients: number; requests: number },
): Promise<Round> {
  const jobIds = Array.from({ length: requests }, () => randomUUID());
  await prepare?.(jobIds);
  const times: number[] = [];
  const left = [...jobIds];
  const client = async (): Promise<void> => {
    for (let jobId = left.pop(); jobId !== undefined; jobId = left.pop()) {
      const start = performance.now();
      const vector = await way(jobId);
      times.push(performance.now() - start);
      if (vector.length !== DIMENSIONS) throw new Error(`a vector of ${vector.length} floats`);
    }
  };
  const [workerBefore, redisBefore] = [await cpuMsOf(worker), await redisCpuMs()];
  const before = process.cpuUsage();
  const start = performance.now();
  await Promise.all(Array.from({ length: clients }, client));
  const seconds = (performance.now() - start) / 1_000;
  const { user, system } = process.cpuUsage(before);
  return {
    times,
    perSecond: requests / seconds,
    senderCpu: (user + system) / 1_000 / requests,
    workerCpu: ((await cpuMsOf(worker)) - workerBefore) / requests,
    redisCpu: ((await redisCpuMs()) - redisBefore) / requests,
  };
}

/** In ticks of 10 ms: next to nothing of a round. */
async function redisCpuMs(): Promise<number> {
  const server = (await descendantsOf(redis.process.pid ?? 0)).find(({ command }) =>
    /^\S*(valkey|redis)-server /.test(command),
  );
  return server ? (await cpuSecondsOf(server.pid)) * 1_000 : NaN;
}

function report(name: string, rounds: readonly Round[]): void {
  const times = rounds.flatMap((round) => round.times);
  const median = (key: 'perSecond' | 'senderCpu' | 'workerCpu' | 'redisCpu'): number =>
    quantile(
      rounds.map((round) => round[key]),
      0.5,
    );
  const rates = rounds.map(({ perSecond }) => perSecond);
  const cpu = (['senderCpu', 'workerCpu', 'redisCpu'] as const).map((key) => median(key).toFixed(3));
  console.log(
    `${name.padEnd(28)} p50 ${quantile(times, 0.5).toFixed(2)} ms  p99 ${quantile(times, 0.99).toFixed(2)} ms  ` +
      `${median('perSecond').toFixed(0)}/s (${Math.min(...rates).toFixed(0)} to ${Math.max(...rates).toFixed(0)})  ` +
      `processor time a request, ms: sender ${cpu[0]}, worker ${cpu[1]}, redis ${cpu[2]}`,
  );
}

/** Callers are spread over gateways in turn. */
function inTurn(ways: readonly Way[]): Way {
  let calls = 0;
  return (jobId) => (ways[calls++ % ways.length] as Way)(jobId);
}

const { startRedis } = await clusterParts();
const folder = await temporaryFolder('queue-bench');
const redis = await startRedis({ dataDir: folder.path, port: await stablePort() });
const workers = [await startWorker('product', redis.url), await startWorker('bullmq', redis.url)] as const;

interface Case {
  clients: number;
  requests: number;
  /** Each with a Redis connection and an inbox, or event stream reader, of its own; all in this process. */
  gateways: number;
}

async function compare({ clients, requests, gateways }: Case): Promise<void> {
  const each = Array.from({ length: gateways });
  const product = await Promise.all(each.map(() => productWays(redis.url)));
  const plain = await Promise.all(each.map(() => plainWay(redis.url)));
  const admitAll = (jobIds: readonly string[]) => product[0]?.admitAll(jobIds) ?? Promise.resolve();
  const contestants: readonly Contestant[] = [
    {
      name: 'enqueue to vector',
      way: inTurn(product.map(({ send }) => send)),
      worker: workers[0],
      prepare: admitAll,
    },
    {
      name: 'the same with its admission',
      way: inTurn(product.map((one) => one.admitAndSend)),
      worker: workers[0],
    },
    { name: 'waitUntilFinished', way: inTurn(plain.map(({ way }) => way)), worker: workers[1] },
  ];
  const rounds = new Map(contestants.map((contestant) => [contestant, [] as Round[]]));
  for (const contestant of contestants) await runRound(contestant, { clients, requests: WARM_UP_REQUESTS });
  for (let n = 0; n < ROUNDS; n++) {
    // There and back, so that nobody always runs on another's heels.
    for (const contestant of n % 2 === 0 ? contestants : contestants.toReversed())
      rounds.get(contestant)?.push(await runRound(contestant, { clients, requests }));
  }
  console.log(`${clients} at a time, ${gateways === 1 ? 'one gateway' : `${gateways} gateways`}`);
  for (const [{ name }, done] of rounds) report(name, done);
  const [ours, withAdmission, theirs] = [...rounds.values()] as [Round[], Round[], Round[]];
  console.log(`  ${ratio('without admission', ours, theirs)}; ${ratio('with it', withAdmission, theirs)}\n`);
  for (const one of [...product, ...plain]) await one.close();
}

/** Round by round, as the machine itself varies more than the ways do. */
function ratio(name: string, ours: readonly Round[], theirs: readonly Round[]): string {
  const ratios = ours.map(({ perSecond }, n) => perSecond / (theirs[n]?.perSecond ?? NaN));
  const [low, high] = [Math.min(...ratios), Math.max(...ratios)];
  return `requests/s against waitUntilFinished ${name}: ${quantile(ratios, 0.5).toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

try {
  console.log(`vectors of ${DIMENSIONS} floats, ${ROUNDS} rounds of each way in turn\n`);
  for (const one of CASES) await compare(one);
} finally {
  for (const worker of workers) worker.disconnect();
  await redis.stop();
  await folder.remove();
}
