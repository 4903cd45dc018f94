import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { OnnxBackend } from '@embergate/embedding-onnx/onnx-backend.ts';
import { createChunker } from '@embergate/ingestion/chunk.ts';
import { embeddedText } from '@embergate/ingestion/embedded-text.ts';
import { chunkKey, embeddedHash } from '@embergate/ingestion/hash.ts';
import { walkSource } from '@embergate/ingestion/walk.ts';
import { defaultModelDir, findModel } from '@embergate/models/installed-model.ts';
import { loadTokenizer } from '@embergate/models/tokenizer.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { lexicalDocument } from '@embergate/vector-store/lexical-text.ts';
import type { ChunkRow } from '@embergate/vector-store/store.ts';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { homedir } from 'node:os';

export interface EmbeddedCorpus {
  space: EmbeddingSpace;
  rows: ChunkRow[];
  /** Sentences out of docstrings, and their vectors as queries. */
  queries: { text: string; vector: Float32Array }[];
}

const BATCH = 16;
/** What is counted aloud. */
const TOLD = 1_000;

/** Chunks of a folder, evenly taken, with the default model's vectors: no queue, no server. */
export async function embedCorpus(
  root: string,
  { chunks, queries }: { chunks: number; queries: number },
): Promise<EmbeddedCorpus> {
  const modelDir =
    process.env['MODEL_DIR'] ?? defaultModelDir({ home: homedir(), platform: process.platform });
  const model = await findModel(DEFAULT_MODEL, { modelDir });
  const tokenizer = await loadTokenizer(model.tokenizerPath, { maxTokens: model.maxTokens });
  const { space, onnxPath, padTokenId } = model;
  const log = createLogger('bench', 'warn');
  const backend = await OnnxBackend.create({ onnxPath, dimensions: space.dimensions, padTokenId, log });
  const embed = async (texts: readonly string[]): Promise<Float32Array[]> => {
    const sorted = texts
      .map((text, at) => ({ ids: tokenizer.encode(text).ids, at }))
      .sort((one, other) => one.ids.length - other.ids.length);
    const vectors: Float32Array[] = [];
    for (let from = 0; from < sorted.length; from += BATCH) {
      const some = sorted.slice(from, from + BATCH);
      const made = await backend.embed(some.map(({ ids }) => ids));
      some.forEach(({ at }, row) => {
        vectors[at] = made.vectors.slice(row * space.dimensions, (row + 1) * space.dimensions);
      });
      if (from % TOLD < BATCH) console.log(`embedded ${from} of ${texts.length}`);
    }
    return vectors;
  };
  try {
    const found = await chunksOf(root);
    const some = found.filter((_, at) => at % Math.max(1, Math.floor(found.length / chunks)) === 0);
    const rows = some.slice(0, chunks);
    const sentences = [...new Set(found.flatMap(({ row }) => sentenceOf(row.text)))];
    const step = Math.max(1, Math.floor(sentences.length / queries));
    const asked = sentences.filter((_, at) => at % step === 0).slice(0, queries);
    const vectors = await embed(rows.map(({ embedded }) => space.prompts.document + embedded));
    const questions = await embed(asked.map((text) => space.prompts.query + text));
    return {
      space,
      rows: rows.map(({ row }, at) => ({ ...row, vector: vectors[at] as Float32Array })),
      queries: asked.map((text, at) => ({ text, vector: questions[at] as Float32Array })),
    };
  } finally {
    await backend.close();
  }
}

async function chunksOf(root: string): Promise<{ row: Omit<ChunkRow, 'vector'>; embedded: string }[]> {
  const chunker = await createChunker({ maxChars: 1_024 });
  const found = new Map<string, { row: Omit<ChunkRow, 'vector'>; embedded: string }>();
  for await (const file of walkSource(root)) {
    if (file.kind !== 'file') continue;
    for (const { signature, kind: _kind, ...chunk } of await chunker.chunk(file)) {
      const shown = { ...chunk, path: file.path };
      const embedded = embeddedText({ ...shown, signature });
      const row = { repo: 'corpus', ...shown, embeddedHash: embeddedHash(embedded) };
      const id = chunkKey(row);
      found.set(id, {
        embedded,
        row: {
          ...row,
          id,
          lexicalText: lexicalDocument(shown),
          addedBy: 'bench',
          removedBy: null,
          secondVector: null,
        },
      });
    }
  }
  chunker.close();
  return [...found.values()];
}

const sentenceOf = (text: string): string[] =>
  [...text.matchAll(/"""([A-Z][^."`\n]{20,120})\./g)].map(([, sentence = '']) => sentence);
