import { linear, toComputed, type AttentionMask, type Common, type Part } from './encoder-part.ts';

/** Added to the score of a padded key: exp(-10000) is 0 in float32 and the value still fits float16. */
const MASKED = -10_000;
/** The same before scores are divided by the root of the head size. */
const MARKED = -30_000;
/** One would do; kernels of GPUs want widths that eight divides. */
const MARKS = 8;

/**
 * Texts of thousands of tokens have more scores than memory: those of 8,192 tokens and 12 heads are 3 GB, and the operators hold
 * several of them. onnxruntime's MultiHeadAttention computes a text's scores in pieces, but only where it is given no mask. So a
 * padded key is marked in the keys themselves: behind each query stand shares that sum up to 1, behind each key 0, or
 * {@link MARKED} for padding, and the product of the two is the mask. On two cores and a model of 137M parameters a text of
 * 8,192 tokens takes 11 s and 1.2 GB so, and 24 s and 13 GB by operators.
 *
 * For BERT, which reads 512 tokens, operators are as fast and exist for every execution provider.
 */
export function attentionMask(common: Common, mask: string): AttentionMask {
  const { graph, shape } = common;
  const inverted = graph.add('Sub', [graph.float('one', 1), mask]);
  if (shape.kind === 'bert') {
    const scores = graph.add('Mul', [inverted, graph.float('masked', MASKED)]);
    const bias = graph.add('Unsqueeze', [scores, graph.integers('score_axes', [1, 2])]);
    return { kind: 'scores', bias: toComputed(common, bias) };
  }
  const marks = graph.add('Mul', [inverted, graph.float('marked', MARKED)]);
  const column = graph.add('Unsqueeze', [marks, graph.integers('mark_axes', [2, 3])]);
  const sizes = [graph.add('Shape', ['input_ids']), graph.integers('marks', [shape.heads, MARKS])];
  const size = graph.add('Concat', sizes, { axis: { int: 0 } });
  const spread = (value: string): string => toComputed(common, graph.add('Expand', [value, size]));
  return { kind: 'marks', queries: spread(graph.float('share', 1 / MARKS)), keys: spread(column) };
}

/** What the tokens take from each other, before the output projection: [tokens, hidden]. */
export function attend(part: Part, input: string): string {
  const { mask } = part;
  return mask.kind === 'scores' ? attendByOperators(part, mask, input) : attendFused(part, mask, input);
}

type MaskOf<Kind> = Extract<AttentionMask, { kind: Kind }>;

function attendByOperators(part: Part, { bias }: MaskOf<'scores'>, input: string): string {
  const { graph, shape, layer, sizes } = part;
  const heads4d = (name: 'query' | 'key' | 'value', order: number[]) => {
    const projected = linear(graph, layer[name], input);
    const split = graph.add('Reshape', [projected, sizes.perHead]);
    return graph.add('Transpose', [split], { perm: { ints: order } });
  };
  const scale = toComputed(part, graph.float('score_scale', 1 / Math.sqrt(shape.hidden / shape.heads)));
  const query = heads4d('query', [0, 2, 1, 3]);
  const key = heads4d('key', [0, 2, 3, 1]);
  const value = heads4d('value', [0, 2, 1, 3]);
  const scores = graph.add('Mul', [graph.add('MatMul', [query, key]), scale]);
  const shares = graph.add('Softmax', [graph.add('Add', [scores, bias])], { axis: { int: -1 } });
  const mixed = graph.add('Transpose', [graph.add('MatMul', [shares, value])], {
    perm: { ints: [0, 2, 1, 3] },
  });
  return graph.add('Reshape', [mixed, sizes.flat]);
}

function attendFused(part: Part, mask: MaskOf<'marks'>, input: string): string {
  const { graph, shape, layer, sizes } = part;
  const headSize = shape.hidden / shape.heads;
  const wide = graph.integers('wide', [0, 0, shape.heads * (headSize + MARKS)]);
  const perText = (name: 'query' | 'key' | 'value') =>
    graph.add('Reshape', [linear(graph, layer[name], input), sizes.perText]);
  const marked = (name: 'query' | 'key', marks: string) => {
    const split = graph.add('Reshape', [rotate(part, perText(name)), sizes.perHead]);
    return graph.add('Reshape', [graph.add('Concat', [split, marks], { axis: { int: 3 } }), wide]);
  };
  const inputs = [marked('query', mask.queries), marked('key', mask.keys), perText('value')];
  const mixed = graph.add('MultiHeadAttention', inputs, {
    num_heads: { int: shape.heads },
    scale: { float: 1 / Math.sqrt(headSize) },
  });
  return graph.add('Reshape', [mixed, sizes.flat]);
}

/** Queries or keys [batch, sequence, hidden], turned by their positions where the architecture does so. */
function rotate({ graph, shape, weights }: Part, projected: string): string {
  if (!weights.rotation) return projected;
  const { cosines, sines } = weights.rotation;
  const tables = [graph.external(cosines), graph.external(sines)];
  return graph.add('RotaryEmbedding', [projected, graph.integers('first', [0]), ...tables], {
    interleaved: { int: 0 },
    num_heads: { int: shape.heads },
  });
}
