/** What random checkpoints are made of: the tensors and the configuration of each architecture. */

export type WeightType = 'F32' | 'BF16' | 'F16';
const TORCH_TYPES = { F32: 'float32', BF16: 'bfloat16', F16: 'float16' };

/** What a Qwen2 model is built from; `heads` divides `hidden`, and `kvHeads` divides `heads`. */
export interface Qwen2Shape {
  hidden: number;
  inner: number;
  layers: number;
  heads: number;
  kvHeads: number;
  vocabulary: number;
  positions: number;
}

/** What an encoder is built from. */
export interface EncoderShape extends Omit<Qwen2Shape, 'kvHeads'> {
  kind: 'bert' | 'nomic_bert';
  pooling: 'mean' | 'cls';
  normalize: boolean;
  /** BERT alone: a cross-encoder, with a pooler and one output, which ranks pairs and embeds nothing. */
  ranksPairs?: boolean;
}

/** Small enough for a test, and with all that a large one has: grouped heads, several layers, outlier features. */
export const SMALL_QWEN2: Qwen2Shape = {
  hidden: 128,
  inner: 320,
  layers: 3,
  heads: 8,
  kvHeads: 2,
  vocabulary: 512,
  positions: 4096,
};

export const SMALL_BERT: EncoderShape = {
  kind: 'bert',
  hidden: 128,
  inner: 320,
  layers: 3,
  heads: 4,
  vocabulary: 512,
  positions: 640,
  pooling: 'mean',
  normalize: true,
};

export const SMALL_CROSS_ENCODER: EncoderShape = { ...SMALL_BERT, ranksPairs: true };

export const SMALL_NOMIC: EncoderShape = { ...SMALL_BERT, kind: 'nomic_bert', positions: 2048 };

export interface Tensor {
  /** Without the prefix. */
  name: string;
  /** A linear weight's is [outputs, inputs]. */
  shape: number[];
  kind: 'embedding' | 'linear' | 'bias' | 'norm';
}

const tensor = (kind: Tensor['kind'], name: string, ...shape: number[]): Tensor => ({ kind, name, shape });
const times = (layers: number, of: (index: number) => Tensor[]): Tensor[] =>
  Array.from({ length: layers }, (_, index) => of(index)).flat();

export function tensorsOf(shape: Qwen2Shape | EncoderShape): Tensor[] {
  if (!('kind' in shape)) return qwen2Tensors(shape);
  if (shape.ranksPairs) return crossEncoderTensors(shape);
  return shape.kind === 'bert' ? bertTensors(shape) : nomicTensors(shape);
}

function qwen2Tensors({ hidden, inner, layers, heads, kvHeads, vocabulary }: Qwen2Shape): Tensor[] {
  const kvWidth = (hidden / heads) * kvHeads;
  const layer = (name: string) => [
    tensor('linear', `${name}.self_attn.q_proj.weight`, hidden, hidden),
    tensor('bias', `${name}.self_attn.q_proj.bias`, hidden),
    tensor('linear', `${name}.self_attn.k_proj.weight`, kvWidth, hidden),
    tensor('bias', `${name}.self_attn.k_proj.bias`, kvWidth),
    tensor('linear', `${name}.self_attn.v_proj.weight`, kvWidth, hidden),
    tensor('bias', `${name}.self_attn.v_proj.bias`, kvWidth),
    tensor('linear', `${name}.self_attn.o_proj.weight`, hidden, hidden),
    tensor('linear', `${name}.mlp.gate_proj.weight`, inner, hidden),
    tensor('linear', `${name}.mlp.up_proj.weight`, inner, hidden),
    tensor('linear', `${name}.mlp.down_proj.weight`, hidden, inner),
    tensor('norm', `${name}.input_layernorm.weight`, hidden),
    tensor('norm', `${name}.post_attention_layernorm.weight`, hidden),
  ];
  return [
    tensor('embedding', 'embed_tokens.weight', vocabulary, hidden),
    ...times(layers, (index) => layer(`layers.${index}`)),
    tensor('norm', 'norm.weight', hidden),
  ];
}

const norm = (name: string, hidden: number): Tensor[] => [
  tensor('norm', `${name}.weight`, hidden),
  tensor('bias', `${name}.bias`, hidden),
];

function bertTensors({ hidden, inner, layers, vocabulary, positions }: EncoderShape): Tensor[] {
  const linear = (name: string, outputs: number, inputs: number) => [
    tensor('linear', `${name}.weight`, outputs, inputs),
    tensor('bias', `${name}.bias`, outputs),
  ];
  return [
    tensor('embedding', 'embeddings.word_embeddings.weight', vocabulary, hidden),
    tensor('embedding', 'embeddings.position_embeddings.weight', positions, hidden),
    tensor('embedding', 'embeddings.token_type_embeddings.weight', 2, hidden),
    ...norm('embeddings.LayerNorm', hidden),
    ...times(layers, (index) => [
      ...linear(`encoder.layer.${index}.attention.self.query`, hidden, hidden),
      ...linear(`encoder.layer.${index}.attention.self.key`, hidden, hidden),
      ...linear(`encoder.layer.${index}.attention.self.value`, hidden, hidden),
      ...linear(`encoder.layer.${index}.attention.output.dense`, hidden, hidden),
      ...norm(`encoder.layer.${index}.attention.output.LayerNorm`, hidden),
      ...linear(`encoder.layer.${index}.intermediate.dense`, inner, hidden),
      ...linear(`encoder.layer.${index}.output.dense`, hidden, inner),
      ...norm(`encoder.layer.${index}.output.LayerNorm`, hidden),
    ]),
  ];
}

/** As transformers names the tensors of BertForSequenceClassification. */
function crossEncoderTensors(shape: EncoderShape): Tensor[] {
  const { hidden } = shape;
  const bert = bertTensors(shape).map((part) => ({ ...part, name: `bert.${part.name}` }));
  return [
    ...bert,
    tensor('linear', 'bert.pooler.dense.weight', hidden, hidden),
    tensor('bias', 'bert.pooler.dense.bias', hidden),
    tensor('linear', 'classifier.weight', 1, hidden),
    tensor('bias', 'classifier.bias', 1),
  ];
}

function nomicTensors({ hidden, inner, layers, vocabulary }: EncoderShape): Tensor[] {
  return [
    tensor('embedding', 'embeddings.word_embeddings.weight', vocabulary, hidden),
    tensor('embedding', 'embeddings.token_type_embeddings.weight', 2, hidden),
    ...norm('emb_ln', hidden),
    ...times(layers, (index) => [
      tensor('linear', `encoder.layers.${index}.attn.Wqkv.weight`, 3 * hidden, hidden),
      tensor('linear', `encoder.layers.${index}.attn.out_proj.weight`, hidden, hidden),
      tensor('linear', `encoder.layers.${index}.mlp.fc11.weight`, inner, hidden),
      tensor('linear', `encoder.layers.${index}.mlp.fc12.weight`, inner, hidden),
      tensor('linear', `encoder.layers.${index}.mlp.fc2.weight`, hidden, inner),
      ...norm(`encoder.layers.${index}.norm1`, hidden),
      ...norm(`encoder.layers.${index}.norm2`, hidden),
    ]),
  ];
}

/** The contents of the configuration files, by their names. */
export function configsOf(shape: Qwen2Shape | EncoderShape, type: WeightType): Record<string, object> {
  const isEncoder = 'kind' in shape;
  if (isEncoder && shape.ranksPairs)
    return { 'config.json': { ...configOf(shape), torch_dtype: TORCH_TYPES[type] } };
  const pooling = isEncoder ? shape.pooling : 'last';
  const kinds = { Transformer: '', Pooling: '1_Pooling', Normalize: '2_Normalize' };
  const modules = Object.entries(kinds).map(([name, path], idx) => {
    return { idx, name: String(idx), path, type: `sentence_transformers.models.${name}` };
  });
  return {
    'config.json': { ...configOf(shape), torch_dtype: TORCH_TYPES[type] },
    'modules.json': isEncoder && !shape.normalize ? modules.slice(0, 2) : modules,
    '1_Pooling/config.json': {
      word_embedding_dimension: shape.hidden,
      pooling_mode_cls_token: pooling === 'cls',
      pooling_mode_mean_tokens: pooling === 'mean',
      pooling_mode_max_tokens: false,
      pooling_mode_mean_sqrt_len_tokens: false,
      pooling_mode_weightedmean_tokens: false,
      pooling_mode_lasttoken: pooling === 'last',
    },
    'config_sentence_transformers.json': {
      prompts: { query: 'Represent this query for searching relevant code: ', document: '' },
    },
  };
}

function configOf(shape: Qwen2Shape | EncoderShape): object {
  if ('kind' in shape && shape.kind === 'nomic_bert') return nomicConfig(shape);
  const common = {
    hidden_size: shape.hidden,
    intermediate_size: shape.inner,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    vocab_size: shape.vocabulary,
    max_position_embeddings: shape.positions,
  };
  if ('kind' in shape)
    return {
      architectures: [shape.ranksPairs ? 'BertForSequenceClassification' : 'BertModel'],
      ...(shape.ranksPairs && { id2label: { '0': 'LABEL_0' } }),
      model_type: 'bert',
      ...common,
      type_vocab_size: 2,
      layer_norm_eps: 1e-12,
      hidden_act: 'gelu',
      position_embedding_type: 'absolute',
      pad_token_id: 0,
    };
  return {
    architectures: ['Qwen2Model'],
    model_type: 'qwen2',
    ...common,
    num_key_value_heads: shape.kvHeads,
    rms_norm_eps: 1e-6,
    rope_theta: 1000000,
    hidden_act: 'silu',
    use_sliding_window: false,
    tie_word_embeddings: false,
  };
}

/** Under GPT-2's names, as CodeRankEmbed and nomic-embed-text are published. */
const nomicConfig = (shape: EncoderShape): object => ({
  architectures: ['NomicBertModel'],
  model_type: 'nomic_bert',
  n_embd: shape.hidden,
  n_inner: shape.inner,
  n_layer: shape.layers,
  n_head: shape.heads,
  n_positions: shape.positions,
  max_trained_positions: 2048,
  vocab_size: shape.vocabulary,
  pad_vocab_size_multiple: 64,
  type_vocab_size: 2,
  layer_norm_epsilon: 1e-12,
  activation_function: 'swiglu',
  rotary_emb_base: 1000,
  rotary_emb_fraction: 1,
  rotary_emb_interleaved: false,
  rotary_emb_scale_base: null,
  rotary_scaling_factor: null,
  prenorm: false,
  parallel_block: false,
  use_rms_norm: false,
  causal: false,
  qkv_proj_bias: false,
  mlp_fc1_bias: false,
  mlp_fc2_bias: false,
});
