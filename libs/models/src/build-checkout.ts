import { join, resolve } from 'node:path';
import { buildBeside, copyTokenizer } from './build-folder.ts';
import { ONNX_FILE, writeManifest, writeWhole } from './build.ts';
import { Checkpoint } from './checkpoint.ts';
import type { Checkout } from './checkout.ts';
import { describe, MANIFEST_VERSION, type InstalledModel, type ModelManifest } from './installed-model.ts';
import { encoderGraph } from './encoder-graph.ts';
import { placeEncoderWeights } from './encoder-weights.ts';
import { encodeOnnxModel, FLOAT16, type Graph } from './onnx-writer.ts';
import type { Precision } from './placed-weights.ts';
import { qwen2Graph } from './qwen2-graph.ts';
import { placeQwen2Weights } from './qwen2-weights.ts';
import { WeightsWriter } from './weights-writer.ts';

export const BUILD_VARIANTS = ['int4', 'int8', 'fp16', 'fp32'] as const;
export type BuildVariant = (typeof BUILD_VARIANTS)[number];

/**
 * Larger blocks are faster: 12 tokens times a matrix of 3584 x 18944 on two cores take, at blocks of 32, 64 and 128, 4.0, 3.3 and
 * 2.7 ms at int4, and 4.4, 4.1 and 3.6 ms at int8. int8 is the exact variant: beyond 64 its cosine to float32 falls below 0.999.
 */
const DECODER_BLOCKS = { int4: 128, int8: 64 };
/**
 * An encoder's texts are computed in batches. With larger blocks onnxruntime's kernels compute some tokens in another order than
 * others, depending on where they lie in the batch, and vectors move by up to 3e-5 (1 - cosine); with these by less than 1e-6.
 * At int8 a text of one letter falls to 0.99900 (cosine to float32) with blocks of 32 on a processor with AVX2 alone; with 16 to 0.99936.
 */
const ENCODER_BLOCKS = { int4: 32, int8: 16 };

/** How the weights of a variant are stored. */
export function precisionOf(variant: BuildVariant, { kind }: Pick<Checkout['shape'], 'kind'>): Precision {
  if (variant === 'fp32') return { kind: 'float32' };
  if (variant === 'fp16') return { kind: 'float16' };
  const blocks = kind === 'qwen2' ? DECODER_BLOCKS : ENCODER_BLOCKS;
  return { kind: 'blocks', bits: variant === 'int4' ? 4 : 8, block: blocks[variant] };
}

const WEIGHTS_FILE = 'weights.bin';
const HALF_ATTENTION_FILE = 'model.half.onnx';

export interface BuildOptions {
  variant: BuildVariant;
  /** Not there yet, empty, or an older build, which is replaced. */
  out: string;
  /** Parts done, of how many: the token table and each layer is one. */
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/**
 * Builds an ONNX model out of a Hugging Face checkout, layer by layer: the checkout may be larger than the memory. No half-built
 * model is ever used ({@link buildBeside}).
 * Errors: `model_damaged`, `model_not_found`, `storage_full`, `usage` where `out` holds something else; the signal's reason.
 */
export async function buildCheckout(checkout: Checkout, options: BuildOptions): Promise<InstalledModel> {
  const out = resolve(options.out);
  const manifest = await buildBeside(out, async (folder) => {
    const checkpoint = await Checkpoint.open(checkout.folder);
    return buildIn(folder, { checkout, checkpoint, options });
  });
  return describe(manifest, out);
}

interface Build {
  checkout: Checkout;
  checkpoint: Checkpoint;
  options: BuildOptions;
}

async function buildIn(folder: string, { checkout, checkpoint, options }: Build): Promise<ModelManifest> {
  const { shape, space, maxTokens, padTokenId } = checkout;
  const { variant, onProgress, signal } = options;
  const file = await WeightsWriter.create(WEIGHTS_FILE, join(folder, WEIGHTS_FILE));
  try {
    const parts = { from: checkpoint, to: file, precision: precisionOf(variant, shape) };
    const { graph, halfAttention } = await graphsOf(shape, parts, (done) => {
      signal?.throwIfAborted();
      onProgress?.(done, shape.layers + 1);
    });
    const half = halfAttention && [
      await writeWhole(folder, HALF_ATTENTION_FILE, encodeOnnxModel(halfAttention)),
    ];
    const tokenizer = await copyTokenizer(checkout.folder, folder);
    const manifest: ModelManifest = {
      manifestVersion: MANIFEST_VERSION,
      name: space.model,
      space,
      maxTokens,
      padTokenId,
      variant,
      onnxFile: ONNX_FILE,
      ...(half && { halfAttentionFile: HALF_ATTENTION_FILE }),
      tokenizerFile: tokenizer.path,
      files: [
        await writeWhole(folder, ONNX_FILE, encodeOnnxModel(graph)),
        ...(half ?? []),
        await file.finish(),
        tokenizer,
      ],
    };
    await writeManifest(folder, manifest);
    return manifest;
  } finally {
    await file.close();
  }
}

interface Graphs {
  graph: Graph;
  /** The same over the same weights, for GPUs whose attention computes in float16 only; none where it does in the first one. */
  halfAttention?: Graph;
}

/** The graphs, once their weights are in their file. */
async function graphsOf(
  shape: Checkout['shape'],
  parts: { from: Checkpoint; to: WeightsWriter; precision: Precision },
  onLayer: (done: number) => void,
): Promise<Graphs> {
  if (shape.kind !== 'qwen2')
    return { graph: encoderGraph(shape, await placeEncoderWeights({ ...parts, shape }, onLayer)) };
  const weights = await placeQwen2Weights({ ...parts, shape }, onLayer);
  const graph = qwen2Graph(shape, weights);
  if (parts.precision.kind === 'float16') return { graph };
  return { graph, halfAttention: qwen2Graph(shape, weights, { attention: FLOAT16 }) };
}
