import type {
  EmbeddingReport,
  SearchRequest,
  SearchResponse,
  SearchTimings,
} from '@embergate/contracts/http-search.ts';
import { search, type SearchParts } from '@embergate/retrieval/search.ts';
import type { Response } from 'express';
import type { Handler } from '../app.ts';
import type { GatewayMetrics } from '../metrics.ts';

/** POST /v1/search. The client leaving aborts what is still under way. */
export const searchHandler =
  (parts: Omit<SearchParts, 'signal'>, metrics: GatewayMetrics): Handler =>
  async (request, response) => {
    const body = request.body as SearchRequest;
    const answer = await search({ ...parts, signal: abortedWhenGone(response) }, body);
    metrics.searchSeconds.observe({ mode: body.mode }, answer.timingsMs.total / 1_000);
    countDegraded(metrics, answer.embedding);
    setEmbeddingHeaders(response, answer.embedding, answer.timingsMs);
    response.json(answer satisfies SearchResponse);
  };

export function countDegraded(
  metrics: GatewayMetrics,
  { degraded, reason }: Pick<EmbeddingReport, 'degraded' | 'reason'>,
): void {
  if (degraded) metrics.degraded.inc({ reason: reason ?? 'unknown' });
}

export function abortedWhenGone(response: Response): AbortSignal {
  const gone = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) gone.abort(new Error('the client left'));
  });
  return gone.signal;
}

export function setEmbeddingHeaders(
  response: Response,
  report: Pick<EmbeddingReport, 'tier' | 'device' | 'degraded' | 'reason'>,
  timings: Partial<SearchTimings>,
): void {
  response.set('X-Embedding-Tier', report.tier);
  response.set('X-Embedding-Device', report.device);
  if (report.degraded) response.set('X-Embedding-Degraded', report.reason ?? 'unknown');
  const metrics = Object.entries(timings).map(([name, ms]) => `${name};dur=${ms}`);
  response.set('Server-Timing', metrics.join(', '));
}
