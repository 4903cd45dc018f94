import { AppError } from '@embergate/contracts/errors.ts';
import type { Cluster } from '@embergate/contracts/http-cluster.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import type { EmbeddedQuery, EmbedQueryOptions, QueryEmbedder } from '@embergate/retrieval/query-vector.ts';
import type { Embedder } from './embedder.ts';
import type { TierGauges } from './metrics.ts';
import type { ClusterStatus } from './tiers/cluster-status.ts';

/** A space that this gateway answers in, with all that its tiers need. */
export interface ServedSpace {
  id: string;
  model: InstalledModel;
  /** In order of preference. */
  tiers: readonly TierName[];
  embedder: Embedder;
  status: ClusterStatus;
}

/** The spaces of this gateway: that of EMBEDDING_MODEL first, then those of OTHER_EMBEDDING_MODELS. */
export class ServedSpaces implements QueryEmbedder {
  readonly all: readonly ServedSpace[];

  /** @throws AppError `config_invalid` where two models share a space or a name. */
  constructor(all: readonly [ServedSpace, ...ServedSpace[]]) {
    this.all = all;
    for (const key of ['id', 'name'] as const) {
      const seen = new Set<string>();
      for (const { id, model } of all) {
        const value = key === 'id' ? id : model.name;
        if (seen.has(value)) {
          const advice =
            key === 'id'
              ? 'Name each model once.'
              : 'EMBEDDING_MODEL keeps its name with fewer EMBEDDING_DIMENSIONS: to serve both, take the whole model first, and NAME#DIMENSIONS here.';
          throw new AppError(
            'config_invalid',
            `OTHER_EMBEDDING_MODELS: ${value} is served already. ${advice}`,
          );
        }
        seen.add(value);
      }
    }
  }

  get first(): ServedSpace {
    return this.all[0] as ServedSpace;
  }

  /** @throws AppError `space_mismatch` where it is none of this gateway's. */
  of(space: EmbeddingSpace): ServedSpace {
    const id = spaceId(space);
    const served = this.all.find((one) => one.id === id);
    if (served) return served;
    const own = this.all.map((one) => one.id).join(', ');
    throw new AppError(
      'space_mismatch',
      `The collection lies in the space ${id}, this gateway embeds in ${own}. Add the collection's model to OTHER_EMBEDDING_MODELS.`,
    );
  }

  serves(space: EmbeddingSpace): boolean {
    const id = spaceId(space);
    return this.all.some((one) => one.id === id);
  }

  /** @throws AppError `model_not_found` with the names that there are. */
  named(name: string): ServedSpace {
    const served = this.all.find(({ model }) => model.name === name);
    if (served) return served;
    const names = this.all.map(({ model }) => model.name).join(', ');
    throw new AppError(
      'model_not_found',
      `There is no model ${JSON.stringify(name)} here; this gateway serves ${names}.`,
    );
  }

  async embedQuery(
    text: string,
    { space, deadlineMs, firstTierOnly, signal }: EmbedQueryOptions,
  ): Promise<EmbeddedQuery> {
    return this.of(space).embedder.embedOne(text, 'query', { deadlineMs, firstTierOnly, signal });
  }

  /** @param store the name of the store, which the cluster's state tells too. */
  async describe(store: string): Promise<Cluster> {
    const [first, ...others] = await Promise.all(this.all.map(({ status }) => status.describe()));
    return {
      ...(first as Awaited<ReturnType<ClusterStatus['describe']>>),
      store,
      otherSpaces: others.map(({ space, tiers, lanes }) => ({ space, tiers, lanes })),
    };
  }

  fill(gauges: TierGauges): void {
    for (const gauge of Object.values(gauges)) gauge.reset();
    for (const { status } of this.all) status.fill(gauges);
  }
}
