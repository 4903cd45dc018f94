import { encoderGraph } from './encoder-graph.ts';
import type { EncoderShape, TensorName } from './encoder-layout.ts';
import { placeParts } from './encoder-weights.ts';
import { FLOAT, type ExternalTensor, type Graph } from './onnx-writer.ts';
import { requireTensor, type TensorPlace } from './safetensors.ts';

/** What the catalog says of a BERT encoder. */
export type BertShape = Omit<EncoderShape, 'kind' | 'types' | 'ropeTheta' | 'pooling' | 'normalize'>;

export interface WeightsFile {
  /** Name of the safetensors file; the graph refers to it by name, so it lies in the graph's folder. */
  file: string;
  tensors: Map<string, TensorPlace>;
}

/**
 * The graph of a BERT sentence encoder with masked-mean pooling and L2 normalisation, over weights that stay where they are:
 * every one is a slice of the safetensors file, so a build copies nothing and the runtime maps them.
 *
 * Errors: `model_damaged` where a tensor is missing, has another shape or is not float32.
 */
export async function bertGraph(shape: BertShape, weights: WeightsFile): Promise<Graph> {
  const encoder: EncoderShape = { ...shape, kind: 'bert', types: 2, pooling: 'mean', normalize: true };
  const mapped = async ({ name, dims }: TensorName): Promise<ExternalTensor> => {
    const { offset, bytes } = requireTensor(weights.tensors, name, dims);
    return { name, elementType: FLOAT, dims, file: weights.file, offset, bytes };
  };
  const parts = await placeParts(encoder, {
    words: async (table) => ({ kind: 'float', table: await mapped(table) }),
    table: mapped,
    linear: async ({ name, outputs, inputs }) => ({
      matrix: { kind: 'float', weight: await mapped({ name: `${name}.weight`, dims: [outputs, inputs] }) },
      bias: await mapped({ name: `${name}.bias`, dims: [outputs] }),
    }),
  });
  return encoderGraph(encoder, { ...parts, isHalf: false });
}
