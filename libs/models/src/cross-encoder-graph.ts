import type { EncoderShape } from './encoder-layout.ts';
import type { EncoderWeights } from './encoder-part.ts';
import { encoderStates } from './encoder-states.ts';
import { FLOAT, type ExternalTensor, type Graph } from './onnx-writer.ts';

/** What makes one number of the first token: a dense layer, tanh, and another one with a single output. */
export interface ScoreHead {
  pooler: { weight: ExternalTensor; bias: ExternalTensor };
  classifier: { weight: ExternalTensor; bias: ExternalTensor };
}

/**
 * The graph of a BERT cross-encoder, which reads two texts as one sequence. Output `logits`, float32 [batch, 1]: the higher, the better
 * the second text answers the first.
 */
export function crossEncoderGraph(shape: EncoderShape, weights: EncoderWeights, head: ScoreHead): Graph {
  const { graph, sizes, tokens, inputs } = encoderStates(shape, weights, { ofPairs: true });
  const perText = graph.add('Reshape', [tokens, sizes.perText]);
  const first = graph.add('Gather', [perText, graph.integers('first', [0])], { axis: { int: 1 } });
  const text = graph.add('Squeeze', [first, graph.integers('first_axis', [1])]);
  const pooled = graph.add('Tanh', [
    graph.add('Gemm', [text, graph.external(head.pooler.weight), graph.external(head.pooler.bias)], {
      transB: { int: 1 },
    }),
  ]);
  const { weight, bias } = head.classifier;
  graph.addNamed('Gemm', {
    inputs: [pooled, graph.external(weight), graph.external(bias)],
    outputs: ['logits'],
    attributes: { transB: { int: 1 } },
  });
  const logits = { name: 'logits', elementType: FLOAT, dims: ['batch', 1] };
  return { name: 'cross_encoder', inputs, outputs: [logits], nodes: graph.nodes, weights: graph.weights };
}
