import { Counter, createRegistry, Gauge, Histogram, type Registry } from '@embergate/platform/metrics.ts';

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * Which space a series is of: none for the gateway's first one, whose series are those of the contract.
 */
export type SpaceLabels = { space?: string };

export interface GatewayMetrics {
  registry: Registry;
  embedRequests: Counter;
  embedSeconds: Histogram;
  degraded: Counter;
  demandTokens: Counter;
  cacheLookups: Counter;
  searchSeconds: Histogram;
  reranks: Counter;
  rerankSeconds: Histogram;
}

/** The metrics of the contract that this gateway can know. */
export function createGatewayMetrics(): GatewayMetrics {
  const registry = createRegistry();
  const registers = [registry];
  return {
    registry,
    embedRequests: new Counter({
      name: 'embergate_embed_requests_total',
      help: 'Attempts to embed a query by tier and outcome (ok, abandoned, or an error code)',
      labelNames: ['tier', 'outcome', 'space'],
      registers,
    }),
    embedSeconds: new Histogram({
      name: 'embergate_embed_seconds',
      help: 'Seconds a query embedding took, by tier and stage',
      labelNames: ['tier', 'stage', 'space'],
      buckets: SECONDS,
      registers,
    }),
    degraded: new Counter({
      name: 'embergate_degraded_total',
      help: 'Answers that did not come from the first declared tier, by reason',
      labelNames: ['reason'],
      registers,
    }),
    demandTokens: new Counter({
      name: 'embergate_demand_tokens_total',
      help: 'Tokens that queries asked of a tier, diverted and refused ones included',
      labelNames: ['tier', 'space'],
      registers,
    }),
    cacheLookups: new Counter({
      name: 'embergate_cache_lookups_total',
      help: 'Look-ups of query embeddings by where they ended (local, shared, miss)',
      labelNames: ['layer'],
      registers,
    }),
    searchSeconds: new Histogram({
      name: 'embergate_search_seconds',
      help: 'Seconds a search took',
      labelNames: ['mode'],
      buckets: SECONDS,
      registers,
    }),
    ...rerankMetrics(registers),
  };
}

function rerankMetrics(registers: Registry[]): Pick<GatewayMetrics, 'reranks' | 'rerankSeconds'> {
  return {
    reranks: new Counter({
      name: 'embergate_rerank_requests_total',
      help: 'Lists that were to be reranked by outcome (done, shortened, or why not)',
      labelNames: ['outcome'],
      registers,
    }),
    rerankSeconds: new Histogram({
      name: 'embergate_rerank_seconds',
      help: 'Seconds that reranking took of a search, by outcome',
      labelNames: ['outcome'],
      buckets: [...SECONDS, 30],
      registers,
    }),
  };
}

/** Gauges of the tiers, set from the cluster's state when they are read. */
export function createTierGauges(registry: Registry) {
  const gauge = <Labels extends string>(name: string, help: string, labelNames: Labels[]) =>
    new Gauge({ name: `embergate_${name}`, help, labelNames, registers: [registry] });
  return {
    workers: gauge('workers', 'Living workers by tier and state', ['tier', 'state', 'space']),
    requiredWorkers: gauge('required_workers', 'Workers that the demand asks for, by tier', [
      'tier',
      'space',
    ]),
    queueTokens: gauge('queue_tokens', 'Tokens admitted or sent and not answered yet', [
      'tier',
      'lane',
      'space',
    ]),
    backlogSeconds: gauge('backlog_seconds', 'Seconds until a query that arrives now is begun', [
      'tier',
      'space',
    ]),
    breakerState: gauge('breaker_state', 'The tier’s circuit breaker: 0 closed, 1 half open, 2 open', [
      'tier',
      'space',
    ]),
    alignmentCosine: gauge(
      'alignment_cosine',
      'Cosine of the tier’s vectors with those of the collections, by its worst worker',
      ['tier', 'space'],
    ),
    batchTokens: gauge('batch_tokens', 'Mean padded tokens of the last batches', ['tier', 'space']),
  };
}
export type TierGauges = ReturnType<typeof createTierGauges>;
