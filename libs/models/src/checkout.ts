import { AppError } from '@embergate/contracts/errors.ts';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { readJson } from './checkpoint.ts';
import { sha256OfFile } from './file-hash.ts';
import type { Qwen2Shape } from './qwen2-graph.ts';

/** A file that is taken for hostile decides how much memory is asked for. */
const count = (most: number) => z.int().positive().max(most);
const plainRope = z
  .literal('default', { error: 'only rotary embedding without scaling is built' })
  .optional();

/** What Hugging Face's config.json says of a Qwen2 model; what changes the mathematics and is not built is refused. */
const qwen2ConfigSchema = z.object({
  model_type: z.literal('qwen2'),
  hidden_size: count(2 ** 16),
  intermediate_size: count(2 ** 18),
  num_hidden_layers: count(1_024),
  num_attention_heads: count(1_024),
  num_key_value_heads: count(1_024),
  vocab_size: count(2 ** 22),
  max_position_embeddings: count(2 ** 20),
  rms_norm_eps: z.number().positive(),
  /** At the top in older files, among `rope_parameters` in newer ones. */
  rope_theta: z.number().positive().optional(),
  rope_parameters: z
    .object({ rope_theta: z.number().positive().optional(), rope_type: plainRope, type: plainRope })
    .nullish(),
  rope_scaling: z.null().optional(),
  hidden_act: z.literal('silu').default('silu'),
  use_sliding_window: z.literal(false).default(false),
  /** Some embedding models of this kind look both ways. */
  is_causal: z.literal(true).optional(),
  pad_token_id: z.int().nonnegative().nullish(),
  eos_token_id: z.int().nonnegative().nullish(),
});

/** sentence-transformers' files: which modules, how the tokens become one vector, what is put before a text. */
const modulesSchema = z.array(z.object({ type: z.string(), path: z.string().regex(/^[A-Za-z0-9_-]*$/) }));
const poolingSchema = z.record(z.string(), z.unknown());
const promptsSchema = z.object({ prompts: z.record(z.string(), z.string()).default({}) });
const lengthSchema = z.object({ max_seq_length: z.int().positive().nullish() });

const BUILT_MODULES: ReadonlySet<string> = new Set(['Transformer', 'Pooling', 'Normalize']);

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
 * Reads what a checkout says of itself. Its space is named after the folder, and the space's revision is a sum of the weights and
 * the tokenizer, so that all variants of one checkout share a space, and no other has it.
 * Errors: `model_not_found` where the folder is no checkout, `model_damaged` where it is one that cannot be built; the signal's
 * reason.
 */
export async function readCheckout(folder: string, signal?: AbortSignal): Promise<Checkout> {
  const config = await readJson(join(folder, 'config.json'), qwen2ConfigSchema);
  if (!config)
    throw new AppError('model_not_found', `${folder} is no checkout of a model: it has no config.json.`);
  const { hidden_size: hidden, num_attention_heads: heads } = config;
  const length = await readJson(join(folder, 'sentence_bert_config.json'), lengthSchema);
  const most = Math.min(length?.max_seq_length ?? Infinity, config.max_position_embeddings);
  const ropeTheta = config.rope_theta ?? config.rope_parameters?.rope_theta;
  if (ropeTheta === undefined) throw unsupported(folder, 'config.json has no rope_theta');
  const kvHeads = config.num_key_value_heads;
  if (hidden % (2 * heads) !== 0 || heads % kvHeads !== 0)
    throw unsupported(
      folder,
      `hidden_size ${hidden}, ${heads} heads and ${kvHeads} of keys do not fit together`,
    );
  return {
    folder,
    shape: {
      layers: config.num_hidden_layers,
      heads,
      kvHeads,
      headSize: hidden / heads,
      hidden,
      inner: config.intermediate_size,
      vocabulary: config.vocab_size,
      positions: most,
      rmsNormEpsilon: config.rms_norm_eps,
      ropeTheta,
    },
    space: await spaceOf(folder, hidden, signal),
    maxTokens: most,
    padTokenId: config.pad_token_id ?? config.eos_token_id ?? 0,
  };
}

async function spaceOf(
  folder: string,
  dimensions: number,
  signal: AbortSignal | undefined,
): Promise<EmbeddingSpace> {
  const modules = (await readJson(join(folder, 'modules.json'), modulesSchema)) ?? [];
  const kindOf = ({ type }: { type: string }): string => type.split('.').at(-1) ?? '';
  const unknown = modules.find((module) => !BUILT_MODULES.has(kindOf(module)));
  if (unknown) throw unsupported(folder, `modules.json has a module ${kindOf(unknown)}`);
  const pooling = modules.find((module) => kindOf(module) === 'Pooling');
  const modes = pooling && (await readJson(join(folder, pooling.path, 'config.json'), poolingSchema));
  const used = Object.keys(modes ?? {}).filter(
    (key) => key.startsWith('pooling_mode_') && modes?.[key] === true,
  );
  if (String(used) !== 'pooling_mode_lasttoken') {
    const what = 'a Qwen2 model is pooled by its last token alone, and 1_Pooling/config.json does not say so';
    throw unsupported(folder, what);
  }
  const { prompts = {} } =
    (await readJson(join(folder, 'config_sentence_transformers.json'), promptsSchema)) ?? {};
  return {
    model: basename(resolve(folder)),
    revision: await sumOf(folder, signal),
    dimensions,
    pooling: 'last',
    normalize: true,
    prompts: { query: prompts['query'] ?? '', document: prompts['document'] ?? prompts['passage'] ?? '' },
  };
}

/** Of the weights and the tokenizer, whatever the shards are called. */
async function sumOf(folder: string, signal: AbortSignal | undefined): Promise<string> {
  const names = (await readdir(folder)).filter((name) => /\.safetensors$|^tokenizer\.json$/.test(name));
  const hash = createHash('sha256');
  for (const name of names.sort()) {
    signal?.throwIfAborted();
    hash.update((await sha256OfFile(join(folder, name), signal)).sha256);
  }
  return hash.digest('hex').slice(0, 40);
}

const unsupported = (folder: string, what: string): AppError =>
  new AppError('model_damaged', `The checkout in ${folder} cannot be built: ${what}.`);
