import { spaceId } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import { BulkTransport } from '@embergate/embedding/bulk-transport.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import { loadTokenizer } from '@embergate/models/tokenizer.ts';
import type { Lifecycle } from '@embergate/platform/lifecycle.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { Admissions } from '@embergate/queue/admissions.ts';
import { AlignmentReferences } from '@embergate/queue/alignment-references.ts';
import { BreakerRecords } from '@embergate/queue/breaker-records.ts';
import type { Redis } from '@embergate/queue/connection.ts';
import { DemandLedger } from '@embergate/queue/demand.ts';
import type { EmbedSender } from '@embergate/queue/embed-sender.ts';
import type { HeartbeatWatch } from '@embergate/queue/heartbeats.ts';
import type { RedisClock } from '@embergate/queue/redis-clock.ts';
import { VectorCache } from '@embergate/queue/vector-cache.ts';
import { whyNot } from '@embergate/routing/decision.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { randomUUID } from 'node:crypto';
import { Coalescer } from './coalescer.ts';
import { Embedder } from './embedder.ts';
import type { GatewayMetrics, SpaceLabels } from './metrics.ts';
import type { DemandCounts } from './ports.ts';
import { QueryCache } from './query-cache.ts';
import type { ServedSpace } from './served-spaces.ts';
import { TextTokens } from './text-tokens.ts';
import { AlignmentSource } from './tiers/alignment-source.ts';
import { canaryProbe, CANARY_TEXT } from './tiers/canary.ts';
import { ClusterStatus } from './tiers/cluster-status.ts';
import { HedgeBudget } from './tiers/hedge-budget.ts';
import { QueryRouter } from './tiers/query-router.ts';
import { TierBoard } from './tiers/tier-board.ts';
import { TierBreakers } from './tiers/tier-breakers.ts';

/** What all spaces of a gateway share. */
export interface SharedParts {
  log: Logger;
  lifecycle: Lifecycle;
  redis: Redis;
  clock: RedisClock;
  sender: EmbedSender;
  workers: HeartbeatWatch;
  store: VectorStore;
  metrics: GatewayMetrics;
  queryDeadlineMs: number;
  hedgePercent: number;
}

/** Starts what one space needs: its tiers are watched, routed to and protected by breakers without regard to any other's. */
export async function composeSpace(
  shared: SharedParts,
  { model, tiers, isFirst }: { model: InstalledModel; tiers: readonly TierName[]; isFirst: boolean },
): Promise<ServedSpace> {
  const { lifecycle, redis, clock, sender, workers, store, metrics } = shared;
  const space = spaceId(model.space);
  const { normalize } = model.space;
  const log = shared.log.child({ space });
  const labels: SpaceLabels = isFirst ? {} : { space };
  const [firstTier] = tiers as [TierName];
  const tokenizer = await loadTokenizer(model.tokenizerPath, { maxTokens: model.maxTokens });
  const texts = new TextTokens(model, tokenizer);
  const admissions = new Admissions(redis, space);
  const board = new TierBoard({ tiers, space, workers, admissions, clock });
  const breakers = composeBreakers({ ...shared, log }, { space, normalize, texts, board, admissions });
  const alignment = new AlignmentSource({
    store,
    references: new AlignmentReferences(redis),
    space: model.space,
    texts,
    log,
  });
  alignment.start();
  lifecycle.onClose('alignment source', () => alignment.stop());
  const demand = countDemand(new DemandLedger(redis, clock, space), (tier, tokens) =>
    metrics.demandTokens.inc({ tier, ...labels }, tokens),
  );
  const isQueueKnown = (): boolean => workers.isKnown();
  const whyNotFirst = (): string => `${firstTier}_${whyNot(board.view(firstTier), {})}`;
  const onMissed = (tier: TierName): void => demand.wantBulk(tier);
  const bulkTo = (wanted: readonly TierName[]): BulkTransport =>
    new BulkTransport({ transport: sender, workers, space, tiers: wanted, onMissed, whyNone: whyNotFirst });
  const embedder = new Embedder({
    model,
    tiers,
    texts,
    cache: new QueryCache({
      shared: new VectorCache(redis, log),
      firstTier,
      onLookup: (layer) => metrics.cacheLookups.inc({ layer }),
    }),
    inFlight: new Coalescer(),
    router: new QueryRouter({
      space,
      board,
      admissions,
      breakers,
      transport: sender,
      demand,
      isQueueKnown,
      hedges: new HedgeBudget(shared.hedgePercent),
      onAttempt: (tier, outcome) => metrics.embedRequests.inc({ tier, outcome, ...labels }),
    }),
    bulk: bulkTo(tiers),
    bulkToFirst: bulkTo([firstTier]),
    whyNotFirst,
    isQueueKnown,
    log,
    metrics,
    labels,
  });
  const { queryDeadlineMs } = shared;
  const status = new ClusterStatus({
    space,
    labels,
    board,
    workers,
    lanes: sender,
    demand,
    queryDeadlineMs,
    log,
  });
  await status.start();
  lifecycle.onClose('cluster status', () => status.stop());
  return { id: space, model, tiers, embedder, status };
}

interface BreakerParts {
  space: string;
  normalize: boolean;
  texts: TextTokens;
  board: TierBoard;
  admissions: Admissions;
}

function composeBreakers(
  { log, lifecycle, redis, clock, sender }: SharedParts,
  { space, normalize, texts, board, admissions }: BreakerParts,
): TierBreakers {
  const records = new BreakerRecords(redis, space, () => void board.refresh().catch(() => undefined));
  lifecycle.onClose('breaker records', () => records.close());
  const { ids, prompted } = texts.encode(CANARY_TEXT, 'query');
  const canary = { ids, text: prompted };
  const breakers = new TierBreakers({
    gatewayId: randomUUID(),
    board,
    store: records,
    clock,
    probe: canaryProbe({ admissions, transport: sender, space, normalize, canary }),
    log,
  });
  breakers.start();
  lifecycle.onClose('breakers', () => breakers.stop());
  return breakers;
}

function countDemand(ledger: DemandLedger, onTokens: (tier: TierName, tokens: number) => void): DemandCounts {
  return {
    record: (tier, tokens) => {
      onTokens(tier, tokens);
      ledger.record(tier, tokens);
    },
    flush: () => ledger.flush(),
    read: (tier) => ledger.read(tier),
    wantBulk: (tier) => ledger.wantBulk(tier),
    isBulkWanted: (tier) => ledger.isBulkWanted(tier),
    lastKnownFit: (tier) => ledger.lastKnownFit(tier),
  };
}
