import { buildModel, type DirectBuild } from '@embergate/models/build.ts';
import { sha256OfFile } from '@embergate/models/file-hash.ts';
import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { findModel, type InstalledModel } from '@embergate/models/installed-model.ts';
import { copyFile, open, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface RandomBertShape {
  layers: number;
  hidden: number;
}

const VOCABULARY = 30_522;
const POSITIONS = 512;
const MAX_TOKENS = 256;
/** The same random numbers again and again: how long a model computes does not depend on its weights. */
const BLOCK_FLOATS = 1 << 20;
const WEIGHTS = 'model.safetensors';
const TOKENIZER = 'tokenizer.json';

/**
 * A BERT with random weights, built by the product's own ONNX writer as a catalog model is: what EMBEDDING_MODEL can name
 * as a folder. Its vectors mean nothing; its batches take as long as those of a trained model of the same shape.
 *
 * @param folder empty; `layers` x `hidden` of 24 x 1024 needs 1.4 GB.
 */
export async function writeRandomBert(
  folder: string,
  { layers, hidden }: RandomBertShape,
  { modelDir }: { modelDir: string },
): Promise<InstalledModel> {
  const tokenizerOf = await findModel(DEFAULT_MODEL, { modelDir });
  await copyFile(tokenizerOf.tokenizerPath, join(folder, TOKENIZER));
  await writeSafetensors(join(folder, WEIGHTS), tensorShapes({ layers, hidden }));
  const files = await Promise.all([WEIGHTS, TOKENIZER].map((path) => describe(folder, path)));
  const model: DirectBuild = {
    space: {
      model: `random-bert-${layers}x${hidden}`,
      revision: '0'.repeat(40),
      dimensions: hidden,
      pooling: 'mean',
      normalize: true,
      prompts: { query: '', document: '' },
    },
    maxTokens: MAX_TOKENS,
    padTokenId: 0,
    architecture: {
      kind: 'bert',
      layers,
      heads: hidden / 64,
      hidden,
      inner: hidden * 4,
      vocabulary: VOCABULARY,
      positions: POSITIONS,
      layerNormEpsilon: 1e-12,
    },
    files,
    weights: WEIGHTS,
    tokenizer: TOKENIZER,
  };
  return buildModel(model, folder);
}

/** Name and shape of every tensor, as Hugging Face's BertModel has them. */
function tensorShapes({ layers, hidden }: RandomBertShape): [name: string, shape: number[]][] {
  const inner = hidden * 4;
  const norm = (name: string): [string, number[]][] => [
    [`${name}.weight`, [hidden]],
    [`${name}.bias`, [hidden]],
  ];
  const linear = (name: string, outputs: number, inputs: number): [string, number[]][] => [
    [`${name}.weight`, [outputs, inputs]],
    [`${name}.bias`, [outputs]],
  ];
  const layer = (index: number): [string, number[]][] => {
    const prefix = `encoder.layer.${index}.`;
    return [
      ...['query', 'key', 'value'].flatMap((part) =>
        linear(`${prefix}attention.self.${part}`, hidden, hidden),
      ),
      ...linear(`${prefix}attention.output.dense`, hidden, hidden),
      ...norm(`${prefix}attention.output.LayerNorm`),
      ...linear(`${prefix}intermediate.dense`, inner, hidden),
      ...linear(`${prefix}output.dense`, hidden, inner),
      ...norm(`${prefix}output.LayerNorm`),
    ];
  };
  return [
    ['embeddings.word_embeddings.weight', [VOCABULARY, hidden]],
    ['embeddings.position_embeddings.weight', [POSITIONS, hidden]],
    ['embeddings.token_type_embeddings.weight', [2, hidden]],
    ...norm('embeddings.LayerNorm'),
    ...Array.from({ length: layers }, (_, index) => layer(index)).flat(),
  ];
}

/** 8 bytes of header length, the header, the tensors one after the other. */
async function writeSafetensors(path: string, tensors: readonly [string, number[]][]): Promise<void> {
  const sizeOf = (shape: readonly number[]): number => 4 * shape.reduce((product, dim) => product * dim, 1);
  let offset = 0;
  const entries = tensors.map(([name, shape]) => {
    const begin = offset;
    offset += sizeOf(shape);
    return [name, { dtype: 'F32', shape, data_offsets: [begin, offset] }];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const block = Buffer.from(
    Float32Array.from({ length: BLOCK_FLOATS }, () => (Math.random() - 0.5) * 0.06).buffer,
  );
  const file = await open(path, 'w');
  try {
    await file.write(length);
    await file.write(header);
    for (let left = offset; left > 0; left -= block.length)
      await file.write(block, 0, Math.min(left, block.length));
  } finally {
    await file.close();
  }
}

async function describe(folder: string, path: string) {
  const place = join(folder, path);
  const [{ size: bytes }, { sha256 }] = await Promise.all([stat(place), sha256OfFile(place)]);
  return { path, bytes, sha256 };
}
