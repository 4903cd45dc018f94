import { AppError } from '@embergate/contracts/errors.ts';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { readJson } from './checkpoint.ts';
import { sha256OfFile } from './file-hash.ts';
import type { Qwen2Shape } from './qwen2-graph.ts';

/** What Hugging Face's config.json says of a Qwen2 model; what changes the mathematics and is not built is refused. */
const qwen2ConfigSchema = z.object({
  model_type: z.literal('qwen2'),
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_key_value_heads: z.int().positive(),
  vocab_size: z.int().positive(),
  max_position_embeddings: z.int().positive(),
  rms_norm_eps: z.number().positive(),
  rope_theta: z.number().positive().default(10_000),
  rope_scaling: z.null().optional(),
  hidden_act: z.literal('silu').default('silu'),
  use_sliding_window: z.literal(false).default(false),
  pad_token_id: z.int().nonnegative().nullish(),
  eos_token_id: z.int().nonnegative().nullish(),
});

/** sentence-transformers' files: which modules, how the tokens become one vector, what is put before a text. */
const modulesSchema = z.array(z.object({ type: z.string(), path: z.string().regex(/^[A-Za-z0-9_-]*$/) }));
const poolingSchema = z.object({
  pooling_mode_lasttoken: z.boolean().default(false),
  pooling_mode_mean_tokens: z.boolean().default(false),
  pooling_mode_cls_token: z.boolean().default(false),
});
const promptsSchema = z.object({ prompts: z.record(z.string(), z.string()).default({}) });
const lengthSchema = z.object({ max_seq_length: z.int().positive().nullish() });

/** A Hugging Face checkout, as its own files describe it. */
export interface Checkout {
  folder: string;
  shape: Qwen2Shape;
  space: EmbeddingSpace;
  /** Longest text in tokens. */
  maxTokens: number;
  padTokenId: number;
}

/**
 * Reads what a checkout says of itself.
 *
 * @param given what the caller knows better: a catalog's space, say. Without it the space is named after the folder, and its
 * revision is a sum of the weights and the tokenizer, so that all variants of one checkout share a space, and no other has it.
 * Errors: `model_not_found` where the folder is no checkout, `model_damaged` where it is one that cannot be built.
 */
export async function readCheckout(
  folder: string,
  given: { space?: EmbeddingSpace; maxTokens?: number } = {},
): Promise<Checkout> {
  const config = await readJson(join(folder, 'config.json'), qwen2ConfigSchema);
  if (!config)
    throw new AppError('model_not_found', `${folder} is no checkout of a model: it has no config.json.`);
  const { hidden_size: hidden, num_attention_heads: heads } = config;
  const length = await readJson(join(folder, 'sentence_bert_config.json'), lengthSchema);
  const most = Math.min(
    given.maxTokens ?? length?.max_seq_length ?? Infinity,
    config.max_position_embeddings,
  );
  if (hidden % heads !== 0) throw unsupported(folder, `hidden_size ${hidden} by ${heads} heads`);
  return {
    folder,
    shape: {
      layers: config.num_hidden_layers,
      heads,
      kvHeads: config.num_key_value_heads,
      headSize: hidden / heads,
      hidden,
      inner: config.intermediate_size,
      vocabulary: config.vocab_size,
      positions: most,
      rmsNormEpsilon: config.rms_norm_eps,
      ropeTheta: config.rope_theta,
    },
    space: given.space ?? (await spaceOf(folder, hidden)),
    maxTokens: most,
    padTokenId: config.pad_token_id ?? config.eos_token_id ?? 0,
  };
}

async function spaceOf(folder: string, dimensions: number): Promise<EmbeddingSpace> {
  const modules = (await readJson(join(folder, 'modules.json'), modulesSchema)) ?? [];
  const pooling = modules.find(({ type }) => type.endsWith('.Pooling'));
  const modes = pooling && (await readJson(join(folder, pooling.path, 'config.json'), poolingSchema));
  if (!modes?.pooling_mode_lasttoken) {
    const what = 'a Qwen2 model is pooled by its last token, and 1_Pooling/config.json does not say so';
    throw unsupported(folder, what);
  }
  const { prompts = {} } =
    (await readJson(join(folder, 'config_sentence_transformers.json'), promptsSchema)) ?? {};
  return {
    model: basename(resolve(folder)),
    revision: await sumOf(folder),
    dimensions,
    pooling: 'last',
    normalize: true,
    prompts: { query: prompts['query'] ?? '', document: prompts['document'] ?? prompts['passage'] ?? '' },
  };
}

/** Of the weights and the tokenizer, whatever the shards are called. */
async function sumOf(folder: string): Promise<string> {
  const names = (await readdir(folder)).filter((name) => /\.safetensors$|^tokenizer\.json$/.test(name));
  const hash = createHash('sha256');
  for (const name of names.sort()) hash.update((await sha256OfFile(join(folder, name))).sha256);
  return hash.digest('hex').slice(0, 40);
}

const unsupported = (folder: string, what: string): AppError =>
  new AppError('model_damaged', `The checkout in ${folder} cannot be built: ${what}.`);
