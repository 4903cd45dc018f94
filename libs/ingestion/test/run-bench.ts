import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { createLanceDbStore } from '@embergate/vector-store-lancedb/lancedb-store.ts';
import type { ChunkStamp, VectorStore } from '@embergate/vector-store/store.ts';
import { expect } from 'vitest';
import { createChunker, type Chunker } from '../src/chunk.ts';
import { estimateRun, type RunEstimate } from '../src/estimate.ts';
import { FolderSource } from '../src/folder-source.ts';
import { runIndex } from '../src/index-run.ts';
import type { IndexRunParts, IndexRunRequest, SpaceEmbedding } from '../src/run-request.ts';
import { createTree, type SourceTree } from './source-tree.ts';

export const COLLECTION = 'code';
const REPO = 'sample';

export const SPACE: EmbeddingSpace = {
  model: 'fake',
  revision: '1',
  dimensions: 8,
  pooling: 'mean',
  normalize: true,
  prompts: { query: '', document: '' },
};

type RunOptions = Partial<
  Pick<IndexRunRequest, 'mode' | 'collection' | 'repo' | 'signal' | 'onProgress' | 'openSource'>
>;

/** A source folder, a LanceDB store on disk, the real chunker, and a fake in place of the model. */
export interface RunBench {
  tree: SourceTree;
  chunker: Chunker;
  store: VectorStore;
  /** Texts that the fake model was given since this was last emptied. */
  embedded: string[];
  /** Texts that the fake model refuses. */
  refuse: (text: string) => boolean;
  /** Awaited before the fake model answers; called with what it is asked for. */
  beforeAnswer: (texts: string[]) => Promise<void> | void;
  run(runId: string, options?: RunOptions, parts?: IndexRunParts): Promise<void>;
  /** The same on a store that stands before the bench's own. */
  runOn(used: VectorStore, runId: string, options?: RunOptions): Promise<void>;
  /** What a run of the folder would cost, from some of its files or from all; a token a character. */
  estimate(options?: {
    mostFiles?: number;
    mode?: 'incremental' | 'full';
    runId?: string;
  }): Promise<RunEstimate | null>;
  /** Runs until `publishing` is told, marks what is gone, and stops short of publishing: as a kill at that moment. */
  runUntilPublishing(runId: string, options?: RunOptions): Promise<void>;
  rows(collection?: string): Promise<ChunkStamp[]>;
  /** Rows that searches see. */
  visibleCount(): Promise<number>;
  /** Waits until searches see so many rows. A first run asks the model before that, and does not wait for its answer. */
  whenVisible(count: number): Promise<void>;
  /** Rows of a run that have no vector yet. */
  unembeddedCount(runId: string): Promise<number>;
  /** Run id -> state. */
  states(): Promise<Record<string, string>>;
  remove(): Promise<void>;
}

/** A few numbers of unit length that depend on the text alone. */
export function fakeVector(text: string, dimensions = SPACE.dimensions): Float32Array {
  const bytes = createHash('sha256').update(text).digest().subarray(0, dimensions);
  const length = Math.hypot(...bytes);
  return Float32Array.from(bytes, (byte) => byte / length);
}

/** The fake tokenizer's ids are the text's code units, so that the fake model can tell texts apart. */
const fakeTokenize = (text: string): Uint32Array =>
  Uint32Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));
const fakeText = (ids: Uint32Array): string => Array.from(ids, (id) => String.fromCharCode(id)).join('');

function aborted(signal: AbortSignal): Promise<never> {
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  const { promise, reject } = Promise.withResolvers<never>();
  signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  return promise;
}

/** Stands for a model of that space. @param onTexts told what it is asked for, and awaited before it answers. */
export function fakeEmbedding(
  space: EmbeddingSpace,
  onTexts: (texts: string[]) => Promise<void> | void,
): SpaceEmbedding {
  return {
    space,
    tokenize: fakeTokenize,
    embed: async (inputs, { texts: given, signal, onEmbedded }) => {
      const texts = inputs.map(fakeText);
      if (given.some((text, at) => text !== texts[at])) throw new Error('the texts are not those of the ids');
      await Promise.race([onTexts(texts), aborted(signal)]);
      signal.throwIfAborted();
      onEmbedded(inputs);
      return texts.map((text) => fakeVector(text, space.dimensions));
    },
  };
}

export async function createRunBench(files: Record<string, string>): Promise<RunBench> {
  const tree = await createTree(files);
  const folder = await mkdtemp(join(tmpdir(), 'embergate-runs-'));
  const store = await createLanceDbStore({ path: folder });
  const chunker = await createChunker();
  const fake = fakeEmbedding(SPACE, (texts) => bench.beforeAnswer(texts));
  const embedding: SpaceEmbedding = {
    ...fake,
    embed: async (inputs, options) => {
      const answers = await fake.embed(inputs, options);
      bench.embedded.push(...options.texts);
      return answers.map((answer, at) =>
        bench.refuse(options.texts[at] ?? '')
          ? new AppError('text_refused', 'The text was refused.')
          : answer,
      );
    },
  };
  const bench: RunBench = {
    tree,
    chunker,
    store,
    embedded: [],
    refuse: () => false,
    beforeAnswer: () => undefined,
    run: (runId, options = {}, parts = { store, ...embedding, second: null }) =>
      runIndex(parts, {
        runId,
        collection: COLLECTION,
        repo: REPO,
        openSource: () => FolderSource.open(tree.root, chunker),
        commit: null,
        mode: 'incremental',
        signal: new AbortController().signal,
        onProgress: () => undefined,
        ...options,
      }),
    runOn: (used, runId, options) => bench.run(runId, options, { ...embedding, store: used, second: null }),
    async estimate({ mostFiles = Infinity, mode = 'incremental', runId = 'e' } = {}) {
      const source = await FolderSource.open(tree.root, chunker);
      const { signal } = new AbortController();
      return estimateRun(
        { store, tokenize: (text) => new Uint32Array(text.length) },
        { collection: COLLECTION, repo: REPO, runId, mode, source, mostFiles, signal },
      );
    },
    async runUntilPublishing(runId, options) {
      const kill = new AbortController();
      const onProgress: IndexRunRequest['onProgress'] = (_progress, _skipped, state) => {
        if (state === 'publishing') kill.abort('killed');
      };
      const ended = await bench
        .run(runId, { ...options, signal: kill.signal, onProgress })
        .catch((reason: unknown) => reason);
      if (ended !== 'killed') throw ended;
    },
    async rows(collection = COLLECTION) {
      const rows: ChunkStamp[] = [];
      for await (const page of store.stamps(collection, REPO)) rows.push(...page);
      return rows.sort((one, other) => (one.id < other.id ? -1 : 1));
    },
    async visibleCount() {
      const counts = await store.countByRepo(COLLECTION).catch((error: unknown) => {
        // A run that comes to nothing leaves none behind.
        if (toAppError(error).code === 'collection_not_found') return [];
        throw error;
      });
      return counts.find(({ repo }) => repo === REPO)?.chunks ?? 0;
    },
    whenVisible: (count) => expect.poll(() => bench.visibleCount(), { timeout: 30_000 }).toBe(count),
    async unembeddedCount(runId) {
      let count = 0;
      for await (const ids of store.unembedded(COLLECTION, runId)) count += ids.length;
      return count;
    },
    async states() {
      const runs = await store.listRuns(COLLECTION);
      return Object.fromEntries(runs.map(({ id, state }) => [id, state]));
    },
    async remove() {
      chunker.close();
      await store.close();
      await tree.remove();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return bench;
}

/** One chunk a file. */
export const pythonFile = (name: string): string => `def ${name}(value):\n    return value + "${name}"\n`;
export const pythonFiles = (count: number): Record<string, string> =>
  Object.fromEntries(
    Array.from({ length: count }, (_, at) => [
      `src/f${String(at).padStart(4, '0')}.py`,
      pythonFile(`f${at}`),
    ]),
  );
