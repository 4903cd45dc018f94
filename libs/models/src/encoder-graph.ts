import type { EncoderShape } from './encoder-layout.ts';
import type { EncoderWeights } from './encoder-part.ts';
import { encoderStates, type EncoderStates } from './encoder-states.ts';
import { FLOAT, type Graph } from './onnx-writer.ts';

/**
 * The graph of a sentence encoder. Output `embedding`, float32 [batch, hidden]: the mean of the tokens that are no padding, or the
 * first token, L2 normalised where the space is. A row whose mask is all zero has no direction and must not be sent.
 */
export function encoderGraph(shape: EncoderShape, weights: EncoderWeights): Graph {
  const states = encoderStates(shape, weights, { ofPairs: false });
  pool(states);
  const { graph, inputs } = states;
  const embedding = { name: 'embedding', elementType: FLOAT, dims: ['batch', shape.hidden] };
  return { name: shape.kind, inputs, outputs: [embedding], nodes: graph.nodes, weights: graph.weights };
}

/** One vector a text, the output. */
function pool({ graph, shape, sizes, tokens, mask }: EncoderStates): void {
  const perText = graph.add('Reshape', [tokens, sizes.perText]);
  const axis = graph.integers('pool_axis', [1]);
  const row = shape.pooling === 'mean' ? graph.add('Unsqueeze', [mask, axis]) : '';
  const pooled = row
    ? graph.add('MatMul', [row, perText])
    : graph.add('Gather', [perText, graph.integers('first', [0])], { axis: { int: 1 } });
  const vector = graph.add('Squeeze', [pooled, axis]);
  if (shape.normalize)
    // The sum of the tokens has the direction of their mean, so nothing is divided.
    return graph.addNamed('LpNormalization', {
      inputs: [vector],
      outputs: ['embedding'],
      attributes: { axis: { int: -1 }, p: { int: 2 } },
    });
  const divisor = row
    ? graph.add('ReduceSum', [mask, axis], { keepdims: { int: 1 } })
    : graph.float('divisor', 1);
  graph.addNamed('Div', { inputs: [vector, divisor], outputs: ['embedding'] });
}
