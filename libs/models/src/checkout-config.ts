import { AppError } from '@embergate/contracts/errors.ts';
import { z } from 'zod';
import type { EncoderShape } from './encoder-layout.ts';
import type { Qwen2Shape } from './qwen2-graph.ts';

/** A file that is taken for hostile decides how much memory is asked for. */
const count = (most: number) => z.int().positive().max(most);
const sizes = {
  width: count(2 ** 16),
  inner: count(2 ** 18),
  layers: count(1_024),
  heads: count(1_024),
  vocabulary: count(2 ** 22),
  positions: count(2 ** 20),
  types: count(1_024),
};
const token = z.int().nonnegative().nullish();
const epsilon = z.number().positive();
const plainRope = z
  .literal('default', { error: 'only rotary embedding without scaling is built' })
  .optional();
const ropeParameters = z
  .object({ rope_theta: z.number().positive().optional(), rope_type: plainRope, type: plainRope })
  .nullish();
/** What is built in one way alone: a file may say that way, or nothing. */
const only = <T extends string | number | boolean | null>(value: T) => z.literal(value).optional();

/** What Hugging Face's config.json says of a Qwen2 model; what changes the mathematics and is not built is refused. */
const qwen2Schema = z.object({
  model_type: z.literal('qwen2'),
  hidden_size: sizes.width,
  intermediate_size: sizes.inner,
  num_hidden_layers: sizes.layers,
  num_attention_heads: sizes.heads,
  num_key_value_heads: sizes.heads,
  vocab_size: sizes.vocabulary,
  max_position_embeddings: sizes.positions,
  rms_norm_eps: epsilon,
  /** At the top in older files, among `rope_parameters` in newer ones. */
  rope_theta: z.number().positive().optional(),
  rope_parameters: ropeParameters,
  rope_scaling: only(null),
  hidden_act: only('silu'),
  use_sliding_window: only(false),
  /** Some embedding models of this kind look both ways. */
  is_causal: only(true),
  pad_token_id: token,
  eos_token_id: token,
});

const bertSchema = z.object({
  model_type: z.literal('bert'),
  hidden_size: sizes.width,
  intermediate_size: sizes.inner,
  num_hidden_layers: sizes.layers,
  num_attention_heads: sizes.heads,
  vocab_size: sizes.vocabulary,
  type_vocab_size: sizes.types,
  max_position_embeddings: sizes.positions,
  layer_norm_eps: epsilon,
  /** The exact one; `gelu_new` and others are approximations, and another embedding space. */
  hidden_act: only('gelu'),
  position_embedding_type: only('absolute'),
  is_decoder: only(false),
  pad_token_id: token,
});

/**
 * nomic_bert goes by two sets of names: GPT-2's, of the model's own code (nomic-ai/contrastors, configuration_hf_nomic_bert.py),
 * and those that transformers gives since it knows the architecture itself. Published files have the first or both.
 */
const nomicSchema = z.object({
  model_type: z.literal('nomic_bert'),
  n_embd: sizes.width.optional(),
  hidden_size: sizes.width.optional(),
  n_inner: sizes.inner.nullish(),
  intermediate_size: sizes.inner.optional(),
  n_layer: sizes.layers.optional(),
  num_hidden_layers: sizes.layers.optional(),
  n_head: sizes.heads.optional(),
  num_attention_heads: sizes.heads.optional(),
  vocab_size: sizes.vocabulary,
  /** The table of tokens is filled up to a multiple of it. */
  pad_vocab_size_multiple: count(65_536).default(1),
  type_vocab_size: sizes.types.default(2),
  n_positions: sizes.positions.optional(),
  max_position_embeddings: sizes.positions.optional(),
  max_trained_positions: sizes.positions.default(2_048),
  layer_norm_epsilon: epsilon.optional(),
  layer_norm_eps: epsilon.optional(),
  rotary_emb_base: z.number().positive().optional(),
  rope_parameters: ropeParameters,
  rotary_scaling_factor: z.number().positive().nullish(),
  rotary_emb_fraction: only(1),
  rotary_emb_interleaved: only(false),
  rotary_emb_scale_base: only(null),
  activation_function: only('swiglu'),
  hidden_act: only('silu'),
  prenorm: only(false),
  parallel_block: only(false),
  use_rms_norm: only(false),
  causal: only(false),
  qkv_proj_bias: only(false),
  mlp_fc1_bias: only(false),
  mlp_fc2_bias: only(false),
  num_heads_kv: only(null),
  /** Layers of several experts, in nomic-embed-text-v2-moe. */
  moe_every_n_layers: only(0),
  pad_token_id: token,
});

export const configSchema = z.discriminatedUnion('model_type', [qwen2Schema, bertSchema, nomicSchema], {
  error: ({ code }) =>
    code === 'invalid_union' ? 'only qwen2, bert and nomic_bert are built (model_type)' : undefined,
});

/** Models have 32 to 256. With the longest context it decides how large the tables of rotary embedding are. */
const MAX_HEAD_SIZE = 512;

/** A model's shape without what other files of a checkout say of it. */
export interface Architecture {
  shape: Qwen2Shape | Omit<EncoderShape, 'pooling' | 'normalize'>;
  padTokenId: number;
}

/** Errors: `model_damaged` where the numbers do not fit together or one is missing. */
export function architectureOf(config: z.infer<typeof configSchema>): Architecture {
  const shape =
    config.model_type === 'qwen2'
      ? qwen2Shape(config)
      : config.model_type === 'bert'
        ? bertShape(config)
        : nomicShape(config);
  const { hidden, heads } = shape;
  const divisor = shape.kind === 'bert' ? heads : 2 * heads;
  const kvHeads = shape.kind === 'qwen2' ? shape.kvHeads : heads;
  if (hidden % divisor !== 0 || heads % kvHeads !== 0)
    throw unbuildable(`hidden_size ${hidden}, ${heads} heads and ${kvHeads} of keys do not fit together`);
  if (hidden / heads > MAX_HEAD_SIZE)
    throw unbuildable(`its heads have ${hidden / heads} numbers, more than ${MAX_HEAD_SIZE}`);
  const end = config.model_type === 'qwen2' ? config.eos_token_id : undefined;
  return { shape, padTokenId: config.pad_token_id ?? end ?? 0 };
}

function qwen2Shape(config: z.infer<typeof qwen2Schema>): Qwen2Shape {
  const { hidden_size: hidden, num_attention_heads: heads } = config;
  return {
    kind: 'qwen2',
    layers: config.num_hidden_layers,
    heads,
    kvHeads: config.num_key_value_heads,
    headSize: hidden / heads,
    hidden,
    inner: config.intermediate_size,
    vocabulary: config.vocab_size,
    positions: config.max_position_embeddings,
    rmsNormEpsilon: config.rms_norm_eps,
    ropeTheta: required('rope_theta', config.rope_theta, config.rope_parameters?.rope_theta),
  };
}

function bertShape(config: z.infer<typeof bertSchema>): Architecture['shape'] {
  return {
    kind: 'bert',
    layers: config.num_hidden_layers,
    heads: config.num_attention_heads,
    hidden: config.hidden_size,
    inner: config.intermediate_size,
    vocabulary: config.vocab_size,
    types: config.type_vocab_size,
    positions: config.max_position_embeddings,
    layerNormEpsilon: config.layer_norm_eps,
  };
}

/**
 * Beyond `max_trained_positions` a `rotary_scaling_factor` changes the rotary embedding with the length of the longest text of a
 * batch (dynamic NTK scaling): a text would have as many vectors as it can have batch-mates. So the context ends there, and all
 * texts within it have the model's own vectors. Without the factor nothing is scaled at any length.
 */
function nomicShape(config: z.infer<typeof nomicSchema>): Architecture['shape'] {
  const multiple = config.pad_vocab_size_multiple;
  const hidden = required('n_embd', config.n_embd, config.hidden_size);
  const positions = required('n_positions', config.n_positions, config.max_position_embeddings);
  const isScaled = typeof config.rotary_scaling_factor === 'number';
  return {
    kind: 'nomic_bert',
    layers: required('n_layer', config.n_layer, config.num_hidden_layers),
    heads: required('n_head', config.n_head, config.num_attention_heads),
    hidden,
    inner: config.n_inner ?? config.intermediate_size ?? 4 * hidden,
    vocabulary: Math.ceil(config.vocab_size / multiple) * multiple,
    types: config.type_vocab_size,
    positions: isScaled ? Math.min(positions, config.max_trained_positions) : positions,
    layerNormEpsilon: required('layer_norm_epsilon', config.layer_norm_epsilon, config.layer_norm_eps),
    ropeTheta: required('rotary_emb_base', config.rotary_emb_base, config.rope_parameters?.rope_theta),
  };
}

function required(name: string, ...values: (number | undefined)[]): number {
  const found = values.find((value) => value !== undefined);
  if (found === undefined) throw unbuildable(`it has no ${name}`);
  return found;
}

const unbuildable = (what: string): AppError =>
  new AppError('model_damaged', `config.json cannot be built from: ${what}.`);
