/** What a checkout says of an encoder, as far as its graph depends on it. */
export interface EncoderShape {
  /** bert: a table of positions, Gelu, biases. nomic_bert: rotary positions, SwiGLU, no biases. */
  kind: 'bert' | 'nomic_bert';
  layers: number;
  heads: number;
  hidden: number;
  /** Width of the feed-forward layer. */
  inner: number;
  vocabulary: number;
  /** Rows of the table of token types, of which the first is used: texts are single. */
  types: number;
  /** The longest sequence in tokens; for bert also the rows of its table of positions. */
  positions: number;
  layerNormEpsilon: number;
  /** nomic_bert alone. */
  ropeTheta?: number;
  pooling: 'mean' | 'cls';
  /** Whether vectors have length 1. */
  normalize: boolean;
}

/** A table or a norm of the checkpoint. */
export interface TensorName {
  name: string;
  dims: number[];
}

export interface TableName extends TensorName {
  dims: [rows: number, width: number];
}

export interface NormName {
  weight: TensorName;
  bias: TensorName;
}

/** A linear layer of the checkpoint: PyTorch stores it as [outputs, inputs]. */
export interface LinearName {
  /** Of the layer; the tensor has `.weight` behind it. */
  name: string;
  outputs: number;
  inputs: number;
  hasBias: boolean;
  /** Of which part of a fused tensor, [3 * outputs, inputs], these are the rows. */
  third?: 0 | 1 | 2;
}

/** The parts of one layer of an encoder, whatever a part is: names here, weights in a build. */
export interface EncoderLayer<Linear, Norm> {
  query: Linear;
  key: Linear;
  value: Linear;
  attentionOutput: Linear;
  attentionNorm: Norm;
  /** Of a gated feed-forward layer: down(SiLU(gate) * up). Without it: down(Gelu(up)). */
  gate?: Linear;
  up: Linear;
  down: Linear;
  outputNorm: Norm;
}

export interface EncoderParts<Linear, Norm, Table, Words = Table> {
  words: Words;
  positions?: Table;
  types: Table;
  embeddingNorm: Norm;
  layers: EncoderLayer<Linear, Norm>[];
}

/** A table that every checkpoint of these architectures has. */
export const WORDS = 'embeddings.word_embeddings.weight';

/** Where a checkpoint has what, under the names that Hugging Face gives. */
export function encoderLayout(shape: EncoderShape): EncoderParts<LinearName, NormName, TableName> {
  const { kind, vocabulary, hidden, positions, types } = shape;
  const isBert = kind === 'bert';
  const table = (name: string, rows: number): TableName => ({
    name: `embeddings.${name}_embeddings.weight`,
    dims: [rows, hidden],
  });
  const layerOf = isBert ? bertLayer : nomicLayer;
  return {
    words: { name: WORDS, dims: [vocabulary, hidden] },
    ...(isBert && { positions: table('position', positions) }),
    types: table('token_type', types),
    embeddingNorm: norm(isBert ? 'embeddings.LayerNorm' : 'emb_ln', hidden),
    layers: Array.from({ length: shape.layers }, (_, index) => layerOf(shape, index)),
  };
}

const norm = (name: string, hidden: number): NormName => ({
  weight: { name: `${name}.weight`, dims: [hidden] },
  bias: { name: `${name}.bias`, dims: [hidden] },
});

function bertLayer({ hidden, inner }: EncoderShape, index: number): EncoderLayer<LinearName, NormName> {
  const layer = `encoder.layer.${index}.`;
  const linear = (part: string, outputs: number, inputs: number): LinearName => ({
    name: `${layer}${part}`,
    outputs,
    inputs,
    hasBias: true,
  });
  return {
    query: linear('attention.self.query', hidden, hidden),
    key: linear('attention.self.key', hidden, hidden),
    value: linear('attention.self.value', hidden, hidden),
    attentionOutput: linear('attention.output.dense', hidden, hidden),
    attentionNorm: norm(`${layer}attention.output.LayerNorm`, hidden),
    up: linear('intermediate.dense', inner, hidden),
    down: linear('output.dense', hidden, inner),
    outputNorm: norm(`${layer}output.LayerNorm`, hidden),
  };
}

function nomicLayer({ hidden, inner }: EncoderShape, index: number): EncoderLayer<LinearName, NormName> {
  const layer = `encoder.layers.${index}.`;
  const linear = (part: string, outputs: number, inputs: number): LinearName => ({
    name: `${layer}${part}`,
    outputs,
    inputs,
    hasBias: false,
  });
  const third = (part: 0 | 1 | 2): LinearName => ({ ...linear('attn.Wqkv', hidden, hidden), third: part });
  return {
    query: third(0),
    key: third(1),
    value: third(2),
    attentionOutput: linear('attn.out_proj', hidden, hidden),
    attentionNorm: norm(`${layer}norm1`, hidden),
    // The second of the two is the gate: y = fc11(x) * SiLU(fc12(x)).
    gate: linear('mlp.fc12', inner, hidden),
    up: linear('mlp.fc11', inner, hidden),
    down: linear('mlp.fc2', hidden, inner),
    outputNorm: norm(`${layer}norm2`, hidden),
  };
}
