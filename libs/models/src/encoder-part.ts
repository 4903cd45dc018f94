import type { EncoderLayer, EncoderParts, EncoderShape } from './encoder-layout.ts';
import type { GraphBuilder } from './graph-builder.ts';
import { FLOAT, FLOAT16, type ExternalTensor } from './onnx-writer.ts';
import type { BlockLinear, TokenTable } from './placed-weights.ts';

/** Floats [outputs, inputs], which is Gemm with transB, or integers in blocks. */
export interface PlacedLinear {
  matrix: { kind: 'float'; weight: ExternalTensor } | BlockLinear;
  bias?: ExternalTensor;
}

export interface PlacedNorm {
  weight: ExternalTensor;
  bias: ExternalTensor;
}

export interface EncoderWeights extends EncoderParts<PlacedLinear, PlacedNorm, ExternalTensor, TokenTable> {
  /** [positions, headSize / 2] each, of the type that attention computes in. */
  rotation?: { cosines: ExternalTensor; sines: ExternalTensor };
  /** Whether attention and linear layers compute in float16. */
  isHalf: boolean;
}

/** Shape operands of Reshape. Linear layers run over [tokens, hidden], attention over [batch, heads, sequence, size]. */
export interface Sizes {
  flat: string;
  perText: string;
  perHead: string;
}

export interface Common {
  graph: GraphBuilder;
  shape: EncoderShape;
  weights: EncoderWeights;
  sizes: Sizes;
}

/** How padding is kept out of attention. */
export type AttentionMask =
  /** [batch, 1, 1, sequence], added to the scores. */
  | { kind: 'scores'; bias: string }
  /** [batch, sequence, heads, MARKS] each, put behind what queries and keys are compared by. */
  | { kind: 'marks'; queries: string; keys: string };

/** One layer while its nodes are added. */
export interface Part extends Common {
  layer: EncoderLayer<PlacedLinear, PlacedNorm>;
  mask: AttentionMask;
}

/** From the float32 of states and norms to what attention and linear layers compute in, */
export const toComputed = ({ graph, weights }: Common, value: string): string =>
  weights.isHalf ? graph.add('Cast', [value], { to: { int: FLOAT16 } }) : value;

/** and back. */
export const toStates = ({ graph, weights }: Common, value: string): string =>
  weights.isHalf ? graph.add('Cast', [value], { to: { int: FLOAT } }) : value;

export function linear(graph: GraphBuilder, { matrix, bias }: PlacedLinear, input: string): string {
  if (matrix.kind === 'float') {
    const inputs = [matrix.weight, ...(bias ? [bias] : [])].map((tensor) => graph.external(tensor));
    return graph.add('Gemm', [input, ...inputs], { transB: { int: 1 } });
  }
  const product = graph.blockLinear(matrix, input);
  return bias ? graph.add('Add', [product, graph.external(bias)]) : product;
}

export function layerNorm({ graph, shape }: Common, norm: PlacedNorm, input: string): string {
  const inputs = [input, graph.external(norm.weight), graph.external(norm.bias)];
  return graph.add('LayerNormalization', inputs, { epsilon: { float: shape.layerNormEpsilon } });
}
