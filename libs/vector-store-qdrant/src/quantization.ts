import type { QdrantClient, Schemas } from '@qdrant/js-client-rest';
import type { QdrantQuantization } from '@embergate/contracts/settings.ts';
import { DENSE, SECOND } from './points.ts';

/*
 * Quantised vectors are looked through first, `oversampling` times as many as wanted, and the best of them compared by
 * the vectors themselves. The small ones stay in memory; the whole ones may leave it, and are read for the candidates only.
 */

type Config = Schemas['QuantizationConfig'];

/* eslint-disable @typescript-eslint/no-deprecated -- what replaces always_ram is unknown to servers before 1.19 */
const CONFIGS: Record<Exclude<QdrantQuantization, 'none'>, Config> = {
  scalar: { scalar: { type: 'int8', quantile: 0.99, always_ram: true } },
  turbo4: { turbo: { bits: 'bits4', always_ram: true } },
  turbo2: { turbo: { bits: 'bits2', always_ram: true } },
  // The query is kept finer than the rows: better ranking at the same memory.
  binary: { binary: { query_encoding: 'scalar8bits', always_ram: true } },
};
/* eslint-enable @typescript-eslint/no-deprecated */

export interface Quantization {
  quantization: QdrantQuantization;
  oversampling: number;
}

export const quantizationConfig = (kind: QdrantQuantization): Config | null =>
  kind === 'none' ? null : CONFIGS[kind];

/** How a search uses it; what the collection has not is ignored by the server. */
export const rescoring = ({
  quantization,
  oversampling,
}: Quantization): { params?: Schemas['SearchParams'] } =>
  quantization === 'none' ? {} : { params: { quantization: { rescore: true, oversampling } } };

/**
 * Gives a collection that was made under another setting the present one. The server rebuilds its segments behind running
 * searches, which see the collection as it was until then.
 */
export async function applyQuantization(
  client: QdrantClient,
  name: string,
  { wanted, config }: { wanted: QdrantQuantization; config: Schemas['CollectionConfig'] },
): Promise<void> {
  if (sameKind(config.quantization_config, quantizationConfig(wanted))) return;
  const kept = { on_disk: wanted !== 'none' };
  const hasSecond = SECOND in (config.params.vectors ?? {});
  await client.updateCollection(name, {
    quantization_config: quantizationConfig(wanted) ?? 'Disabled',
    vectors: { [DENSE]: kept, ...(hasSecond && { [SECOND]: kept }) },
  });
}

/** Compares what decides the bits: the server adds defaults of its own to what it was given. */
function sameKind(found: unknown, wanted: Config | null): boolean {
  const bits = (config: unknown): string => {
    const [kind, options] =
      Object.entries((config ?? {}) as Record<string, { bits?: string; encoding?: string }>)[0] ?? [];
    return kind === undefined ? 'none' : `${kind} ${options?.bits ?? ''} ${options?.encoding ?? ''}`;
  };
  return bits(found) === bits(wanted);
}
