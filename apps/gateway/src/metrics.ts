import { Counter, createRegistry, Gauge, Histogram, type Registry } from '@embergate/platform/metrics.ts';

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export interface GatewayMetrics {
  registry: Registry;
  embedRequests: Counter;
  embedSeconds: Histogram;
  degraded: Counter;
  workers: Gauge;
  searchSeconds: Histogram;
}

/** The metrics of the contract that this gateway can know. */
export function createGatewayMetrics(): GatewayMetrics {
  const registry = createRegistry();
  const registers = [registry];
  return {
    registry,
    embedRequests: new Counter({
      name: 'embergate_embed_requests_total',
      help: 'Query embeddings by tier and outcome (ok, abandoned, or an error code)',
      labelNames: ['tier', 'outcome'],
      registers,
    }),
    embedSeconds: new Histogram({
      name: 'embergate_embed_seconds',
      help: 'Seconds a query embedding took, by tier and stage',
      labelNames: ['tier', 'stage'],
      buckets: SECONDS,
      registers,
    }),
    degraded: new Counter({
      name: 'embergate_degraded_total',
      help: 'Answers that did not come from the first declared tier, by reason',
      labelNames: ['reason'],
      registers,
    }),
    workers: new Gauge({
      name: 'embergate_workers',
      help: 'Living workers by tier and state',
      labelNames: ['tier', 'state'],
      registers,
    }),
    searchSeconds: new Histogram({
      name: 'embergate_search_seconds',
      help: 'Seconds a search took',
      labelNames: ['mode'],
      buckets: SECONDS,
      registers,
    }),
  };
}
