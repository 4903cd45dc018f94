import { spaceTag } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import { createLogger, type Logger } from '@embergate/platform/logs.ts';
import { Admissions } from '@embergate/queue/admissions.ts';
import { BreakerRecords } from '@embergate/queue/breaker-records.ts';
import { connectRedis, type Redis } from '@embergate/queue/connection.ts';
import { DemandLedger } from '@embergate/queue/demand.ts';
import { EmbedSender } from '@embergate/queue/embed-sender.ts';
import { HeartbeatWatch } from '@embergate/queue/heartbeats.ts';
import { RedisClock } from '@embergate/queue/redis-clock.ts';
import { startRedisServer } from '@embergate/queue/redis-server.ts';
import { stateOf } from '@embergate/routing/breaker.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { FrozenProcesses } from '@embergate/testing/frozen-processes.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { randomUUID } from 'node:crypto';
import { inject } from 'vitest';
import { canaryProbe } from '../../src/tiers/canary.ts';
import { ClusterStatus } from '../../src/tiers/cluster-status.ts';
import { HedgeBudget } from '../../src/tiers/hedge-budget.ts';
import { QueryRouter, type RoutedAnswer, type RoutedQuery } from '../../src/tiers/query-router.ts';
import { TierBoard } from '../../src/tiers/tier-board.ts';
import { TierBreakers } from '../../src/tiers/tier-breakers.ts';
import { CANARY, CANARY_IDS, ScriptedWorker, SPACE, type ScriptedWorkerOptions } from './scripted-worker.ts';

const silent = createLogger('test', 'silent');
export const TIERS: readonly TierName[] = ['gpu', 'cpu'];

export interface LogLine {
  msg: string;
  [figure: string]: unknown;
}

export interface Gateway {
  redis: Redis;
  board: TierBoard;
  router: QueryRouter;
  sender: EmbedSender;
  workers: HeartbeatWatch;
  status: ClusterStatus;
  /** Warnings, as they were said. */
  warnings: LogLine[];
  /** `<tier> <outcome>` of each attempt. */
  attempts: string[];
  /** `<tier> <tokens>` of each count of demand. */
  demanded: string[];
  /** Routes a query of ten tokens. */
  ask: (query?: Partial<RoutedQuery> & { id?: number }) => Promise<RoutedAnswer>;
  /** Sends the canary text through a tier. */
  probe: (tier: TierName) => Promise<void>;
  breaker: (tier?: TierName) => 'closed' | 'open' | 'half_open';
}

let lastId = 0;
export const idsOf = (id = ++lastId, tokens = 10): Uint32Array => new Uint32Array(tokens).fill(id);

/** A real Redis with gateways, put together as the app does it, and scripted workers. */
export class TierWorld {
  readonly url: string;
  readonly #stopServer: () => Promise<void>;
  readonly #frozen = new FrozenProcesses();
  readonly #gateways: Gateway[] = [];
  #redis: Redis | undefined;
  #onReset: (() => unknown)[] = [];

  private constructor(url: string, stopServer: () => Promise<void>) {
    this.url = url;
    this.#stopServer = stopServer;
  }

  static async start(): Promise<TierWorld> {
    const folder = await temporaryFolder('tiers');
    const server = await startRedisServer({
      binary: inject('redisServer'),
      dataDir: folder.path,
      log: silent,
    });
    return new TierWorld(server.url, async () => {
      await server.stop();
      await folder.remove();
    });
  }

  async stop(): Promise<void> {
    this.#frozen.close();
    this.#redis?.disconnect();
    await this.#stopServer();
  }

  /** Ends all gateways and workers, and empties Redis. */
  async reset(): Promise<void> {
    this.#frozen.thawAll();
    for (const release of this.#onReset.reverse()) await release();
    this.#onReset = [];
    this.#gateways.length = 0;
    await (await this.redis()).flushall();
  }

  /** The test's own connection. */
  async redis(): Promise<Redis> {
    this.#redis ??= await connectRedis({ url: this.url, patience: 'patient', log: silent });
    return this.#redis;
  }

  async worker(
    tier: TierName,
    options: Pick<ScriptedWorkerOptions, 'fit' | 'concurrency'> = {},
  ): Promise<ScriptedWorker> {
    const worker = await ScriptedWorker.start(this.url, { tier, workerId: randomUUID(), ...options });
    this.#onReset.push(() => worker.stop());
    await this.everyoneLooks();
    return worker;
  }

  /** Every gateway reads the heartbeats and the loads now, not half a second later. */
  async everyoneLooks(): Promise<void> {
    await Promise.all(
      this.#gateways.map(({ workers, board }) => Promise.all([workers.refresh(), board.refresh()])),
    );
  }

  async gateway({ hedgePercent = 0, probes = true, tiers = TIERS } = {}): Promise<Gateway> {
    const redis = await connectRedis({ url: this.url, patience: 'fail-fast', log: silent });
    this.#onReset.push(() => redis.disconnect());
    const clock = new RedisClock(redis);
    await clock.start();
    this.#onReset.push(() => clock.stop());
    const sender = new EmbedSender(redis, clock, silent);
    this.#onReset.push(() => sender.close());
    const workers = new HeartbeatWatch(redis, clock, silent);
    await workers.start();
    this.#onReset.push(() => workers.stop());
    const { log, lines: warnings } = fakeLog();
    const admissions = new Admissions(redis, SPACE);
    const board = new TierBoard({ tiers, space: SPACE, workers, admissions, clock });
    const records = new BreakerRecords(redis, SPACE, () => void board.refresh().catch(() => undefined));
    this.#onReset.push(() => records.close());
    const canary = { ids: CANARY_IDS, text: CANARY };
    const probe = canaryProbe({ admissions, transport: sender, space: SPACE, normalize: true, canary });
    const breakers = new TierBreakers({
      gatewayId: randomUUID(),
      board,
      store: records,
      clock,
      probe,
      log,
    });
    if (probes) breakers.start();
    this.#onReset.push(() => breakers.stop());
    const demand = new DemandLedger(redis, clock, SPACE);
    const attempts: string[] = [];
    const demanded: string[] = [];
    const router = new QueryRouter({
      space: SPACE,
      board,
      admissions,
      breakers,
      transport: sender,
      demand: {
        record: (tier, tokens) => demanded.push(`${tier} ${tokens}`) && demand.record(tier, tokens),
        flush: () => demand.flush(),
        read: (tier) => demand.read(tier),
        wantBulk: (tier) => demand.wantBulk(tier),
        isBulkWanted: (tier) => demand.isBulkWanted(tier),
        lastKnownFit: (tier) => demand.lastKnownFit(tier),
      },
      isQueueKnown: () => workers.isKnown(),
      hedges: new HedgeBudget(hedgePercent),
      onAttempt: (tier, outcome) => attempts.push(`${tier} ${outcome}`),
    });
    const parts = { space: SPACE, labels: {}, board, workers, lanes: sender, demand, log };
    const status = new ClusterStatus({ ...parts, queryDeadlineMs: 2_000 });
    this.#onReset.push(() => status.stop());
    await board.refresh();
    const gateway: Gateway = {
      redis,
      board,
      router,
      sender,
      workers,
      status,
      warnings,
      attempts,
      demanded,
      ask: ({ id, ids = idsOf(id), text = `text ${id}`, ...query } = {}) =>
        router.route({ ids, text, tokens: ids.length, deadlineMs: 2_000, firstTierOnly: false, ...query }),
      probe,
      breaker: (tier = 'gpu') => stateOf(board.load(tier).breaker),
    };
    this.#gateways.push(gateway);
    return gateway;
  }

  /** Stands for other callers: tokens that were promised to a tier and are not computed yet. */
  async load(tier: TierName, tokens: number): Promise<void> {
    const anyLoad = { maxReservedTokens: Infinity, breakerText: null };
    const place = { tier, lane: 'query', jobId: randomUUID() } as const;
    await new Admissions(await this.redis(), SPACE).reserve({ ...place, tokens, ttlMs: 600_000, ...anyLoad });
  }

  /** Tokens, places and jobs that are still there for a tier's queries. */
  async leftOf(tier: TierName): Promise<{ tokens: number; places: number; jobs: number }> {
    const redis = await this.redis();
    const { reservedTokens } = await new Admissions(redis, SPACE).load(tier, 'query');
    const places = await redis.hlen(`{embergate}:reserved:${spaceTag(SPACE)}-${tier}-query`);
    const [waiting, active] = await Promise.all([
      redis.llen(`{embergate}:embed-${spaceTag(SPACE)}-${tier}-query:wait`),
      redis.llen(`{embergate}:embed-${spaceTag(SPACE)}-${tier}-query:active`),
    ]);
    return { tokens: reservedTokens, places, jobs: waiting + active };
  }

  /** What was promised has been kept or given back, to the last token. */
  async isAllGivenBack(): Promise<void> {
    for (const tier of TIERS) {
      await eventually(`nothing is left of ${tier}`, async () => {
        const { tokens, places, jobs } = await this.leftOf(tier);
        return tokens === 0 && places === 0 && jobs === 0;
      });
    }
  }

  /** Redis answers nobody until {@link thaw}. */
  async freeze(): Promise<void> {
    const pid = /process_id:(\d+)/.exec(await (await this.redis()).info('server'))?.[1];
    this.#frozen.freeze(Number(pid));
  }

  thaw(): void {
    this.#frozen.thawAll();
  }
}

/** Stands for the log: keeps the warnings and drops the rest. */
function fakeLog(): { log: Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const keep = (figures: Record<string, unknown>, msg: string): void => void lines.push({ ...figures, msg });
  return { log: Object.assign(createLogger('test', 'silent'), { warn: keep }), lines };
}
