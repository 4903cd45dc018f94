import { AppError } from '@embergate/contracts/errors.ts';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { architectureOf, configSchema } from './checkout-config.ts';
import { readJson } from './checkpoint.ts';
import type { EncoderShape } from './encoder-layout.ts';

/** transformers' class of a model with a pooler and a classifier over BERT. */
const CROSS_ENCODER = 'BertForSequenceClassification';

const headSchema = z.object({
  architectures: z.array(z.string()).optional(),
  num_labels: z.int().positive().optional(),
  id2label: z.record(z.string(), z.unknown()).optional(),
});
const lengthSchema = z.object({ model_max_length: z.number().positive().optional() });

/** A Hugging Face checkout of a cross-encoder, as its own files describe it. */
export interface CrossEncoderCheckout {
  folder: string;
  name: string;
  shape: EncoderShape;
  /** Longest pair in tokens, special ones included. */
  maxTokens: number;
  padTokenId: number;
}

/** Whether the folder is a checkout of a model that ranks pairs, and not of one that embeds. */
export async function isCrossEncoder(folder: string): Promise<boolean> {
  const config = await readJson(join(folder, 'config.json'), headSchema);
  return config?.architectures?.includes(CROSS_ENCODER) ?? false;
}

/**
 * Reads what a checkout of BERT with one output says of itself.
 * Errors: `model_not_found` where the folder is no checkout, `model_damaged` where it is one that cannot be built.
 */
export async function readCrossEncoder(folder: string): Promise<CrossEncoderCheckout> {
  const path = join(folder, 'config.json');
  const config = await readJson(path, configSchema);
  const head = await readJson(path, headSchema);
  if (!config || !head)
    throw new AppError('model_not_found', `${folder} is no checkout of a model: it has no config.json.`);
  const { shape, padTokenId } = architectureOf(config);
  if (shape.kind !== 'bert' || !head.architectures?.includes(CROSS_ENCODER))
    throw unsupported(
      folder,
      `cross-encoders are built from ${CROSS_ENCODER}, and config.json says another one`,
    );
  // transformers' own default is two.
  const labels = head.num_labels ?? (head.id2label ? Object.keys(head.id2label).length : 2);
  if (labels !== 1) throw unsupported(folder, `it has ${labels} outputs, and a reranker has one`);
  const lengths = await readJson(join(folder, 'tokenizer_config.json'), lengthSchema);
  return {
    folder,
    name: basename(resolve(folder)),
    shape: { ...shape, pooling: 'cls', normalize: false },
    maxTokens: Math.min(lengths?.model_max_length ?? Infinity, shape.positions),
    padTokenId,
  };
}

const unsupported = (folder: string, what: string): AppError =>
  new AppError('model_damaged', `The checkout in ${folder} cannot be built: ${what}.`);
