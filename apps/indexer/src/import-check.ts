import { AppError } from '@embergate/contracts/errors.ts';
import type { IndexWarning } from '@embergate/contracts/index-job.ts';
import { cosine } from '@embergate/embedding/cosine.ts';
import type { VectorSample } from '@embergate/ingestion/run-request.ts';
import type { BulkEmbedder } from './bulk-embedder.ts';

export interface ImportCheckParts {
  embedder: Pick<BulkEmbedder, 'isServed' | 'embed'>;
  tokenize: (text: string) => Uint32Array;
  /** Below it an import is refused; 0 switches the check off. */
  minCosine: number;
  signal: AbortSignal;
}

const TIMEOUT_MS = 120_000;

/**
 * Whether a worker of the space makes the same vectors of some imported texts, before anybody sees them: a wrong import would make every
 * worker look misaligned. The median counts, as for workers (docs/embedding-alignment.md).
 * @returns what to warn of: nobody was there to compare with.
 * @throws AppError `vectors_misaligned`
 */
export async function checkImport(
  sample: readonly VectorSample[],
  { embedder, tokenize, minCosine, signal }: ImportCheckParts,
): Promise<IndexWarning[]> {
  const unverified = (why: string): IndexWarning[] => [
    { code: 'import_unverified', message: `The imported vectors were compared with no worker's: ${why}.` },
  ];
  if (minCosine === 0) return unverified('ALIGNMENT_MIN_COSINE is 0');
  if (!embedder.isServed()) return unverified('none of their space was ready');
  const late = AbortSignal.timeout(TIMEOUT_MS);
  let made: (Float32Array | AppError)[];
  try {
    made = await embedder.embed(
      sample.map(({ text }) => tokenize(text)),
      {
        texts: sample.map(({ text }) => text),
        signal: AbortSignal.any([signal, late]),
        onEmbedded: () => undefined,
      },
    );
  } catch (error) {
    signal.throwIfAborted();
    if (late.aborted) return unverified('none answered within two minutes');
    throw error;
  }
  const cosines = sample.flatMap(({ vector }, at) => {
    const own = made[at];
    return own instanceof Float32Array ? [cosine(own, vector)] : [];
  });
  const sorted = cosines.toSorted((one, other) => one - other);
  const median = sorted[sorted.length >> 1];
  if (median === undefined) return unverified('the model refused all of the sample');
  if (median >= minCosine) return [];
  throw new AppError(
    'vectors_misaligned',
    `Of ${sorted.length} imported vectors and a worker's own of the same texts the median cosine is ${median.toFixed(3)}; ` +
      `${minCosine} is the least. They were made with another model, prompt or pooling, or belong to other lines.`,
  );
}
