import type { RerankerChoice } from '@embergate/contracts/reranker-choice.ts';
import { findReranker } from '@embergate/models/installed-reranker.ts';
import type { Lifecycle } from '@embergate/platform/lifecycle.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import type { Reranker } from '@embergate/rerank/reranker.ts';
import type { RerankStage } from '@embergate/retrieval/rerank.ts';
import type { GatewayMetrics } from './metrics.ts';

export interface RerankParts {
  choice: RerankerChoice | null;
  modelDir: string;
  catalogFile: string | undefined;
  log: Logger;
  lifecycle: Lifecycle;
  metrics: GatewayMetrics;
}

/**
 * What searches are reranked with; undefined where the deployment has no reranker. A model that cannot be run stops the start, an API that does
 * not answer does not. Errors: those of {@link findReranker}, `model_damaged`, `process_failed`.
 */
export async function composeRerank(parts: RerankParts): Promise<RerankStage | undefined> {
  const { choice, log, lifecycle, metrics } = parts;
  if (!choice) return undefined;
  const reranker = await openReranker(choice, parts);
  lifecycle.onClose('reranker', () => reranker.close());
  const { deadlineMs } = choice;
  log.info({ reranker: reranker.name, candidates: reranker.maxPassages, deadlineMs }, 'reranker ready');
  return {
    reranker,
    deadlineMs,
    onOutcome: (outcome, { ms, error }) => {
      if (error !== undefined) log.error({ err: error }, 'the reranker failed');
      metrics.reranks.inc({ outcome });
      metrics.rerankSeconds.observe({ outcome }, ms / 1_000);
    },
  };
}

/** Only the adapter in use is loaded. */
async function openReranker(
  choice: RerankerChoice,
  { modelDir, catalogFile, log }: RerankParts,
): Promise<Reranker> {
  const { maxPassages } = choice;
  if (choice.kind === 'chat') {
    const { ListwiseReranker } = await import('@embergate/rerank-chat/listwise-reranker.ts');
    return new ListwiseReranker({ ...choice, address: choice.url, log });
  }
  const model = await findReranker(choice.model, { modelDir, catalogFile });
  const { CrossEncoder } = await import('@embergate/rerank-onnx/cross-encoder.ts');
  return CrossEncoder.create({ ...model, maxPassages, log });
}
