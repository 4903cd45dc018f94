import { join, resolve } from 'node:path';
import { precisionOf, type BuildOptions } from './build-checkout.ts';
import { buildBeside, copyTokenizer } from './build-folder.ts';
import { ONNX_FILE, writeWhole } from './build.ts';
import { Checkpoint } from './checkpoint.ts';
import type { CrossEncoderCheckout } from './cross-encoder-checkout.ts';
import { crossEncoderGraph, type ScoreHead } from './cross-encoder-graph.ts';
import { placeEncoderWeights } from './encoder-weights.ts';
import {
  describeReranker,
  RERANKER_MANIFEST_FILE,
  RERANKER_MANIFEST_VERSION,
  type InstalledReranker,
  type RerankerManifest,
} from './installed-reranker.ts';
import { encodeOnnxModel, type ExternalTensor } from './onnx-writer.ts';
import { WeightsWriter } from './weights-writer.ts';

const WEIGHTS_FILE = 'weights.bin';

/**
 * Builds an ONNX model out of a checkout of a cross-encoder, as {@link buildCheckout} does of models that embed. Its head stays float32 in
 * every variant. Errors: the same.
 */
export async function buildCrossEncoder(
  checkout: CrossEncoderCheckout,
  options: BuildOptions,
): Promise<InstalledReranker> {
  const out = resolve(options.out);
  const manifest = await buildBeside(out, async (folder) => {
    const checkpoint = await Checkpoint.open(checkout.folder);
    const file = await WeightsWriter.create(WEIGHTS_FILE, join(folder, WEIGHTS_FILE));
    try {
      return await fill(folder, { checkout, checkpoint, file, options });
    } finally {
      await file.close();
    }
  });
  return describeReranker(manifest, out);
}

interface Build {
  checkout: CrossEncoderCheckout;
  checkpoint: Checkpoint;
  file: WeightsWriter;
  options: BuildOptions;
}

async function fill(
  folder: string,
  { checkout, checkpoint, file, options }: Build,
): Promise<RerankerManifest> {
  const { shape, name, maxTokens, padTokenId } = checkout;
  const { variant, onProgress, signal } = options;
  const parts = { from: checkpoint, to: file, precision: precisionOf(variant, shape), shape };
  const weights = await placeEncoderWeights(parts, (done) => {
    signal?.throwIfAborted();
    onProgress?.(done, shape.layers + 1);
  });
  const head = await placeHead(checkpoint, file, shape.hidden);
  const tokenizer = await copyTokenizer(checkout.folder, folder);
  const manifest: RerankerManifest = {
    manifestVersion: RERANKER_MANIFEST_VERSION,
    kind: 'cross-encoder',
    name,
    maxTokens,
    padTokenId,
    variant,
    onnxFile: ONNX_FILE,
    tokenizerFile: tokenizer.path,
    files: [
      await writeWhole(folder, ONNX_FILE, encodeOnnxModel(crossEncoderGraph(shape, weights, head))),
      await file.finish(),
      tokenizer,
    ],
  };
  await writeWhole(folder, RERANKER_MANIFEST_FILE, Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));
  return manifest;
}

/** Under the names that transformers gives. */
async function placeHead(from: Checkpoint, to: WeightsWriter, hidden: number): Promise<ScoreHead> {
  const tensor = (name: string, dims: number[]): Promise<ExternalTensor> =>
    to.add({ name, type: 'float32', dims }, from.rows(name, dims));
  return {
    pooler: {
      weight: await tensor('bert.pooler.dense.weight', [hidden, hidden]),
      bias: await tensor('bert.pooler.dense.bias', [hidden]),
    },
    classifier: {
      weight: await tensor('classifier.weight', [1, hidden]),
      bias: await tensor('classifier.bias', [1]),
    },
  };
}
