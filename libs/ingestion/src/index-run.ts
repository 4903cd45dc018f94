import { AppError } from '@embergate/contracts/errors.ts';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { lexicalDocument } from '@embergate/vector-store/lexical-text.ts';
import type { ChunkRow, RunRecord, VectorStore } from '@embergate/vector-store/store.ts';
import type { Chunk, Chunker } from './chunk.ts';
import { embeddedText } from './embedded-text.ts';
import { chunkKey, embeddedHash } from './hash.ts';
import { RunProgress, type ProgressListener } from './run-progress.ts';
import { knownRows, rowId, type KnownRows } from './run-rows.ts';
import { isPublished, undoRun } from './sweep.ts';
import { folderIdentity, measureSource, walkSource } from './walk.ts';

export interface IndexRunParts {
  store: VectorStore;
  chunker: Chunker;
  space: EmbeddingSpace;
  tokenize: (text: string) => Uint32Array;
  /** One vector a text, in order. Waits for as long as it takes, until the signal aborts. */
  embed: (inputs: Uint32Array[], options: EmbedOptions) => Promise<Float32Array[]>;
}

export interface EmbedOptions {
  /** What the inputs stand for, in the same order, without the model's prompt. */
  texts: readonly string[];
  signal: AbortSignal;
  /** Told as parts of the texts are done. */
  onEmbedded: (inputs: readonly Uint32Array[]) => void;
}

export interface IndexRunRequest {
  /** Also the job's id: a run that is picked up again goes on under the same one. */
  runId: string;
  collection: string;
  repo: string;
  /** Absolute folder. */
  root: string;
  commit: string | null;
  mode: 'incremental' | 'full';
  signal: AbortSignal;
  onProgress: ProgressListener;
}

/** A chunk that is not in the store yet. */
interface NewChunk {
  row: Omit<ChunkRow, 'vector'>;
  text: string;
}

/** Chunks that are looked up, embedded and written together: enough to sort by length, little enough for memory. */
const BATCH_CHUNKS = 256;
/** While one batch is embedded, another is written and a third one chunked. */
const BATCHES_AT_A_TIME = 3;
const MARK_BATCH = 2_000;

/**
 * One indexing of one folder into one repo of a collection.
 *
 *   (none) --putRun--> pending --rows added, rows marked, counts checked--> committed --sweep--> swept
 *
 * Searches see nothing of a pending run and all of a committed one. Chunks that are there already stay; vectors known
 * for the same text are copied; only the rest goes through the model. A run that was killed is started again with the
 * same id and finds its own rows; one that has been published already is left as it is.
 *
 * @throws AppError `source_not_found` when the folder is not there, or no longer the same at the end; those of the store
 * or the model; the signal's reason when aborted. The run then stays pending, or was never begun.
 */
export async function runIndex(parts: IndexRunParts, request: IndexRunRequest): Promise<void> {
  const { store, space } = parts;
  const { collection, repo, runId, commit, root, signal } = request;
  signal.throwIfAborted();
  await store.ensureCollection(collection, space);
  const runs = await store.listRuns(collection);
  const deadRuns = runs.filter((run) => run.repo === repo && run.id !== runId && !isPublished(run));
  const earlier = runs.find(({ id }) => id === runId);
  if (earlier && isPublished(earlier)) return undoRuns(store, deadRuns);

  const folder = await folderIdentity(root);
  const run = { id: runId, collection, repo, commit, startedAt: new Date().toISOString() };
  await store.putRun({ ...run, state: 'pending', finishedAt: null });
  // Marks of an earlier life of this run, or of one that never ended, may name chunks that the source has again.
  for (const { id } of [run, ...deadRuns]) await store.clearRemovedMarks(collection, id);

  const pass = new RunPass(parts, request, await knownRows(store, request));
  await pass.addNewChunks();
  await markStale(store, request, pass);
  await checkCount(store, request, pass.chunkCount);
  // Before anybody sees the rows: a search would have to scan what the full-text index does not hold yet.
  await store.optimize(collection);
  await checkFolder(root, folder);
  signal.throwIfAborted();
  await store.putRun({ ...run, state: 'committed', finishedAt: new Date().toISOString() });
  // Not before: their vectors may have been worth copying.
  await undoRuns(store, deadRuns);
}

async function undoRuns(store: VectorStore, runs: readonly RunRecord[]): Promise<void> {
  for (const { collection, id } of runs) await undoRun(store, { collection, runId: id });
}

async function markStale(store: VectorStore, request: IndexRunRequest, pass: RunPass): Promise<void> {
  const stale = pass.stale();
  pass.progress.publishing(stale.length);
  for (let at = 0; at < stale.length; at += MARK_BATCH) {
    await store.markRemoved(request.collection, stale.slice(at, at + MARK_BATCH), request.runId);
  }
}

/** Files of a share that was unmounted, or of a folder that is being deleted, look as if they were no longer wanted. */
async function checkFolder(root: string, before: string): Promise<void> {
  if ((await folderIdentity(root)) === before) return;
  throw new AppError(
    'source_not_found',
    `The folder ${root} was replaced while it was read; nothing was published.`,
  );
}

/** What is about to be published must be what was found: a row lost on the way would be missing from every answer. */
async function checkCount(store: VectorStore, request: IndexRunRequest, expected: number): Promise<void> {
  const { visible, own } = await knownRows(store, request);
  const count = visible.size + own.size;
  if (count === expected) return;
  throw new AppError(
    'index_failed',
    `The store holds ${count} chunks where ${expected} were found; nothing was published.`,
  );
}

/** One walk over the source: what is new is embedded and written as it is found. */
class RunPass {
  readonly progress: RunProgress;
  readonly #parts: IndexRunParts;
  readonly #request: IndexRunRequest;
  readonly #known: KnownRows;
  readonly #seen = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();
  #batch: NewChunk[] = [];
  #failure: unknown;

  constructor(parts: IndexRunParts, request: IndexRunRequest, known: KnownRows) {
    this.#parts = parts;
    this.#request = request;
    this.#known = known;
    this.progress = new RunProgress(request.onProgress);
  }

  get chunkCount(): number {
    return this.#seen.size;
  }

  async addNewChunks(): Promise<void> {
    const { root, signal } = this.#request;
    this.progress.expectBytes(await measureSource(root));
    try {
      for await (const file of walkSource(root)) {
        signal.throwIfAborted();
        if ('reason' in file) {
          this.progress.skip(file);
          continue;
        }
        const chunks = await this.#parts.chunker.chunk(file);
        this.progress.read(file.sizeBytes, chunks.length);
        for (const chunk of chunks) await this.#take(file.path, chunk);
      }
      this.progress.walked();
      await this.#startBatch();
    } finally {
      await Promise.all(this.#underWay);
    }
    if (this.#failure !== undefined) throw this.#failure as Error;
  }

  /** Ids of rows that are no longer in the source, or that a full run has made anew. */
  stale(): string[] {
    const { visible, own } = this.#known;
    const gone = [...own].filter(([key]) => !this.#seen.has(key));
    const replaced = [...visible].filter(([key]) => this.#request.mode === 'full' || !this.#seen.has(key));
    return [...gone, ...replaced].map(([, id]) => id);
  }

  async #take(path: string, chunk: Chunk): Promise<void> {
    const { repo, runId, mode } = this.#request;
    const text = embeddedText({ path, ...chunk });
    const hash = embeddedHash(text);
    const key = chunkKey({ repo, path, ...chunk, embeddedHash: hash });
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    if (this.#known.own.has(key) || (mode === 'incremental' && this.#known.visible.has(key))) {
      this.progress.reused(1);
      return;
    }
    const { language, symbol, startLine, endLine } = chunk;
    this.#batch.push({
      text,
      row: {
        id: rowId(key, mode === 'full' ? runId : null),
        repo,
        path,
        language,
        symbol,
        startLine,
        endLine,
        text: chunk.text,
        embeddedHash: hash,
        lexicalText: lexicalDocument({ path, symbol, text: chunk.text }),
        addedBy: runId,
        removedBy: null,
      },
    });
    if (this.#batch.length >= BATCH_CHUNKS) await this.#startBatch();
  }

  /** Starts what has been gathered, and waits only while too much is under way. */
  async #startBatch(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    if (batch.length > 0) {
      const work: Promise<void> = this.#write(batch)
        .catch((error: unknown) => void (this.#failure ??= error))
        .finally(() => this.#underWay.delete(work));
      this.#underWay.add(work);
    }
    while (this.#underWay.size >= BATCHES_AT_A_TIME) await Promise.race(this.#underWay);
    if (this.#failure !== undefined) throw this.#failure as Error;
  }

  async #write(batch: NewChunk[]): Promise<void> {
    const { store } = this.#parts;
    const { collection, mode } = this.#request;
    const hashes = [...new Set(batch.map(({ row }) => row.embeddedHash))];
    const vectors =
      mode === 'full' ? new Map<string, Float32Array>() : await store.vectorsByHash(collection, hashes);
    this.progress.reused(batch.filter(({ row }) => vectors.has(row.embeddedHash)).length);
    await this.#embedMissing(batch, vectors);
    const rows = batch.map(({ row }): ChunkRow => {
      const vector = vectors.get(row.embeddedHash);
      if (!vector) throw new AppError('index_failed', `No vector came for ${row.path}:${row.startLine}.`);
      return { ...row, vector };
    });
    await store.upsertRows(collection, rows);
  }

  /** Adds to `vectors` what is not in it. */
  async #embedMissing(batch: NewChunk[], vectors: Map<string, Float32Array>): Promise<void> {
    const missing = batch.filter(({ row }) => !vectors.has(row.embeddedHash));
    if (missing.length === 0) return;
    const distinct = new Map(missing.map(({ row, text }) => [row.embeddedHash, text]));
    // Texts of like length share a batch of the model, which pads every text to the longest.
    const sorted = [...distinct]
      .map(([hash, text]) => ({ hash, text, ids: this.#parts.tokenize(text) }))
      .sort((a, b) => b.ids.length - a.ids.length);
    const made = await this.#parts.embed(
      sorted.map(({ ids }) => ids),
      {
        texts: sorted.map(({ text }) => text),
        signal: this.#request.signal,
        onEmbedded: (inputs) => this.progress.embedded(inputs.length, tokensOf(inputs)),
      },
    );
    // Texts that stand more than once are embedded once.
    this.progress.reused(missing.length - sorted.length);
    sorted.forEach(({ hash }, index) => {
      const vector = made[index];
      if (vector) vectors.set(hash, vector);
    });
  }
}

const tokensOf = (inputs: readonly Uint32Array[]): number => inputs.reduce((sum, ids) => sum + ids.length, 0);
