import type { BlockLinear, TokenTable } from './placed-weights.ts';
import { FLOAT, type Attributes, type ExternalTensor, type Graph, type Node } from './onnx-writer.ts';

/** onnxruntime's fused operators; all others are ONNX's own. */
const FUSED: ReadonlySet<string> = new Set([
  'BiasGelu',
  'GatherBlockQuantized',
  'GroupQueryAttention',
  'MatMulNBits',
  'MultiHeadAttention',
  'QuickGelu',
  'RotaryEmbedding',
  'SkipSimplifiedLayerNormalization',
]);

/** Collects nodes and weights; every method returns the name under which the next node finds the value. */
export class GraphBuilder {
  readonly nodes: Node[] = [];
  readonly weights: Graph['weights'] = [];
  readonly #known = new Set<string>();

  add(op: string, inputs: string[], attributes: Attributes = {}): string {
    const output = `${op}_${this.nodes.length}`;
    this.addNamed(op, { inputs, outputs: [output], attributes });
    return output;
  }

  /** A node whose outputs have names of their own; '' leaves an optional one out. */
  addNamed(op: string, node: Pick<Node, 'inputs' | 'outputs' | 'attributes'>): void {
    this.nodes.push({ op, ...node, domain: FUSED.has(op) ? 'com.microsoft' : '' });
  }

  /** The input times a matrix of integers in blocks. */
  blockLinear({ weight, scales, layout }: BlockLinear, input: string): string {
    const { outputs, inputs, bits, block } = layout;
    // accuracy_level 4: activations in int8, block by block, so that no text depends on its batch-mates.
    return this.add('MatMulNBits', [input, this.external(weight), this.external(scales)], {
      N: { int: outputs },
      K: { int: inputs },
      bits: { int: bits },
      block_size: { int: block },
      accuracy_level: { int: 4 },
    });
  }

  /** The rows of these tokens, float32. Only the rows that are read are converted. */
  tokenRows(tokens: TokenTable, ids: string): string {
    if (tokens.kind === 'float') {
      const { table } = tokens;
      const rows = this.add('Gather', [this.external(table), ids]);
      return table.elementType === FLOAT ? rows : this.add('Cast', [rows], { to: { int: FLOAT } });
    }
    const { weight, scales, layout } = tokens;
    const { outputs, inputs, bits, block } = layout;
    const table = this.external({ ...weight, dims: [outputs, inputs] });
    const perBlock = this.external({ ...scales, dims: [outputs, inputs / block] });
    return this.add('GatherBlockQuantized', [table, ids, perBlock], {
      bits: { int: bits },
      block_size: { int: block },
      gather_axis: { int: 0 },
      quantize_axis: { int: 1 },
    });
  }

  /** A tensor that lies in another file. */
  external(tensor: ExternalTensor): string {
    return this.#once(tensor);
  }

  float(name: string, value: number): string {
    return this.#once({ name, dims: [], values: new Float32Array([value]) });
  }

  integers(name: string, values: number[]): string {
    return this.#once({ name, dims: [values.length], values: BigInt64Array.from(values, BigInt) });
  }

  #once(tensor: Graph['weights'][number]): string {
    if (!this.#known.has(tensor.name)) this.weights.push(tensor);
    this.#known.add(tensor.name);
    return tensor.name;
  }
}
