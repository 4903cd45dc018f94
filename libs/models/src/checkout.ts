import { AppError } from '@embergate/contracts/errors.ts';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { architectureOf, configSchema } from './checkout-config.ts';
import { readJson } from './checkpoint.ts';
import type { EncoderShape } from './encoder-layout.ts';
import { sha256OfFile } from './file-hash.ts';
import type { Qwen2Shape } from './qwen2-graph.ts';

/** sentence-transformers' files: which modules, how the tokens become one vector, what is put before a text. */
const modulesSchema = z.array(z.object({ type: z.string(), path: z.string().regex(/^[A-Za-z0-9_-]*$/) }));
const poolingSchema = z.looseObject({
  /** In newer files; older ones have one `pooling_mode_...` for each. */
  pooling_mode: z.string().optional(),
  include_prompt: z.literal(true, { error: 'prompts are pooled with the text' }).optional(),
});
const promptsSchema = z.object({ prompts: z.record(z.string(), z.string()).default({}) });
const lengthSchema = z.object({
  max_seq_length: z.int().positive().nullish(),
  do_lower_case: z.literal(false, { error: 'texts are lowered by their tokenizer or not at all' }).optional(),
});

const BUILT_MODULES: ReadonlySet<string> = new Set(['Transformer', 'Pooling', 'Normalize']);
const POOLINGS: Readonly<Record<string, EmbeddingSpace['pooling'] | undefined>> = {
  mean: 'mean',
  mean_tokens: 'mean',
  cls: 'cls',
  cls_token: 'cls',
  lasttoken: 'last',
};

/** A Hugging Face checkout, as its own files describe it. */
export interface Checkout {
  folder: string;
  shape: Qwen2Shape | EncoderShape;
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
  const config = await readJson(join(folder, 'config.json'), configSchema);
  if (!config)
    throw new AppError('model_not_found', `${folder} is no checkout of a model: it has no config.json.`);
  const { shape, padTokenId } = architectureOf(config);
  const length = await readJson(join(folder, 'sentence_bert_config.json'), lengthSchema);
  const maxTokens = Math.min(length?.max_seq_length ?? Infinity, shape.positions);
  const { pooling, normalize } = await poolingOf(folder);
  const common = { folder, maxTokens, padTokenId };
  const space = { model: basename(resolve(folder)), dimensions: shape.hidden, pooling, normalize };
  if (shape.kind === 'qwen2') {
    if (pooling !== 'last')
      throw unsupported(
        folder,
        'a Qwen2 model is pooled by its last token alone, and 1_Pooling/config.json does not say so',
      );
    // Of a decoder nothing but the rotary embedding depends on the longest text.
    const built = { ...shape, positions: maxTokens };
    return { ...common, shape: built, space: await withRest(folder, { ...space, normalize: true }, signal) };
  }
  if (pooling === 'last')
    throw unsupported(
      folder,
      'an encoder is pooled by the mean of its tokens or its first, and 1_Pooling/config.json says the last',
    );
  // A table of positions is copied whole.
  const positions = shape.kind === 'bert' ? shape.positions : maxTokens;
  return {
    ...common,
    shape: { ...shape, positions, pooling, normalize },
    space: await withRest(folder, space, signal),
  };
}

/** How the tokens become one vector, and whether it has length 1. */
async function poolingOf(folder: string): Promise<Pick<EmbeddingSpace, 'pooling' | 'normalize'>> {
  const modules = (await readJson(join(folder, 'modules.json'), modulesSchema)) ?? [];
  const kindOf = ({ type }: { type: string }): string => type.split('.').at(-1) ?? '';
  const unknown = modules.find((module) => !BUILT_MODULES.has(kindOf(module)));
  if (unknown) throw unsupported(folder, `modules.json has a module ${kindOf(unknown)}`);
  const module = modules.find((entry) => kindOf(entry) === 'Pooling');
  const modes = module && (await readJson(join(folder, module.path, 'config.json'), poolingSchema));
  const prefix = 'pooling_mode_';
  const older = Object.keys(modes ?? {}).filter((key) => key.startsWith(prefix) && modes?.[key] === true);
  const used = [modes?.pooling_mode, ...older.map((key) => key.slice(prefix.length))].filter(
    (mode) => mode !== undefined,
  );
  const pooling = used.length === 1 ? POOLINGS[used[0] ?? ''] : undefined;
  if (pooling) return { pooling, normalize: modules.some((entry) => kindOf(entry) === 'Normalize') };
  const what = used.length > 0 ? used.join(' and ') : 'no pooling';
  throw unsupported(folder, `mean, first and last token are built, and 1_Pooling/config.json says ${what}`);
}

async function withRest(
  folder: string,
  space: Omit<EmbeddingSpace, 'revision' | 'prompts'>,
  signal: AbortSignal | undefined,
): Promise<EmbeddingSpace> {
  const { prompts = {} } =
    (await readJson(join(folder, 'config_sentence_transformers.json'), promptsSchema)) ?? {};
  return {
    ...space,
    revision: await sumOf(folder, signal),
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
