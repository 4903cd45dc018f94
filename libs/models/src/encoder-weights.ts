import { AppError } from '@embergate/contracts/errors.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { EncoderWeights, PlacedLinear, PlacedNorm } from './encoder-part.ts';
import {
  encoderLayout,
  WORDS,
  type EncoderLayer,
  type EncoderParts,
  type EncoderShape,
  type LinearName,
  type NormName,
  type TableName,
  type TensorName,
} from './encoder-layout.ts';
import type { ExternalTensor } from './onnx-writer.ts';
import {
  addComputed,
  placeBlocks,
  placeExact,
  placeRotation,
  placeTokens,
  type Placing,
  type Precision,
  type TokenTable,
} from './placed-weights.ts';
import type { WeightsWriter } from './weights-writer.ts';

/** What checkpoints of larger models have before the names of the encoder's tensors. */
const PREFIXES = ['', 'bert.', 'model.', 'nomic_bert.'];

/** How each kind of part gets its weights. */
export interface PartPlacing {
  words: (table: TableName) => Promise<TokenTable>;
  table: (table: TensorName) => Promise<ExternalTensor>;
  linear: (linear: LinearName) => Promise<PlacedLinear>;
}

/**
 * Copies the weights of a checkpoint into a build's file, layer by layer: of a large matrix only some rows are in memory.
 * Errors: `model_damaged`, `storage_full`.
 *
 * @param onLayer called after the tables and after each layer, with how many of `layers + 1` are done.
 */
export async function placeEncoderWeights(
  parts: { from: Checkpoint; to: WeightsWriter; precision: Precision; shape: EncoderShape },
  onLayer: (done: number) => void,
): Promise<EncoderWeights> {
  const { from, shape, precision } = parts;
  const prefix = PREFIXES.find((candidate) => from.has(`${candidate}${WORDS}`)) ?? '';
  const placing: Placing = { ...parts, prefix };
  expectNothingElse(placing, shape);
  const { heads, hidden, positions, ropeTheta: theta } = shape;
  const rotation =
    theta === undefined
      ? {}
      : { rotation: await placeRotation(placing, { positions, headSize: hidden / heads, theta }) };
  const placed = await placeParts(
    shape,
    {
      words: (table) => placeTokens(placing, table),
      table: (table) => placeExact(placing, table),
      linear: (linear) => placeLinear(placing, linear),
    },
    onLayer,
  );
  return { ...placed, ...rotation, isHalf: precision.kind === 'float16' };
}

/** What checkpoints carry beside weights. */
const BUFFERS = /\.(position_ids|token_type_ids|inv_freq)$/;

/** A tensor that nothing reads is mathematics that is not built: more layers, biases, experts, another table. */
function expectNothingElse({ from, prefix }: Placing, shape: EncoderShape): void {
  const { layers, ...tables } = encoderLayout(shape);
  const parts: Part[] = [...values({ ...tables }), ...layers.flatMap((layer) => values({ ...layer }))];
  const known = new Set(parts.flatMap(tensorsOf).map((name) => prefix + name));
  const isOurs = (name: string): boolean =>
    [`${prefix}embeddings.`, `${prefix}encoder.`].some((start) => name.startsWith(start));
  const unread = from.names.find((name) => isOurs(name) && !known.has(name) && !BUFFERS.test(name));
  if (unread === undefined) return;
  const what = `The model has the tensor ${unread}, which a ${shape.kind} model as config.json describes it has not.`;
  throw new AppError('model_damaged', what);
}

type Part = LinearName | NormName | TensorName;

const values = (parts: Record<string, Part | undefined>): Part[] =>
  Object.values(parts).filter((part) => part !== undefined);

function tensorsOf(part: Part): string[] {
  if ('dims' in part) return [part.name];
  if ('weight' in part) return [part.weight.name, part.bias.name];
  return [`${part.name}.weight`, ...(part.hasBias ? [`${part.name}.bias`] : [])];
}

/** Goes through all parts in the order of the layers. */
export async function placeParts(
  shape: EncoderShape,
  place: PartPlacing,
  onLayer: (done: number) => void = () => undefined,
): Promise<EncoderParts<PlacedLinear, PlacedNorm, ExternalTensor, TokenTable>> {
  const layout = encoderLayout(shape);
  const norm = async ({ weight, bias }: NormName): Promise<PlacedNorm> => ({
    weight: await place.table(weight),
    bias: await place.table(bias),
  });
  const tables = {
    words: await place.words(layout.words),
    ...(layout.positions && { positions: await place.table(layout.positions) }),
    types: await place.table(layout.types),
    embeddingNorm: await norm(layout.embeddingNorm),
  };
  onLayer(1);
  const layers: EncoderLayer<PlacedLinear, PlacedNorm>[] = [];
  for (const layer of layout.layers) {
    layers.push({
      query: await place.linear(layer.query),
      key: await place.linear(layer.key),
      value: await place.linear(layer.value),
      attentionOutput: await place.linear(layer.attentionOutput),
      attentionNorm: await norm(layer.attentionNorm),
      ...(layer.gate && { gate: await place.linear(layer.gate) }),
      up: await place.linear(layer.up),
      down: await place.linear(layer.down),
      outputNorm: await norm(layer.outputNorm),
    });
    onLayer(layers.length + 1);
  }
  return { ...tables, layers };
}

async function placeLinear(placing: Placing, linear: LinearName): Promise<PlacedLinear> {
  const { from, to, precision, prefix } = placing;
  const { outputs, inputs, hasBias, third } = linear;
  const name = third === undefined ? linear.name : `${linear.name}.${third}`;
  const rows =
    third === undefined
      ? from.rows(`${prefix}${linear.name}.weight`, [outputs, inputs])
      : from.rows(`${prefix}${linear.name}.weight`, [3 * outputs, inputs], {
          first: third * outputs,
          last: (third + 1) * outputs,
        });
  const matrix: PlacedLinear['matrix'] =
    precision.kind === 'blocks'
      ? await placeBlocks(
          to,
          { name, layout: { outputs, inputs, bits: precision.bits, block: precision.block } },
          rows,
        )
      : { kind: 'float', weight: await addComputed(placing, { name, dims: [outputs, inputs] }, rows) };
  if (!hasBias) return { matrix };
  const bias = { name: `${linear.name}.bias`, dims: [outputs] };
  return { matrix, bias: await addComputed(placing, bias, from.rows(`${prefix}${bias.name}`, bias.dims)) };
}
