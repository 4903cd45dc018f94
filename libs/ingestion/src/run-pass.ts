import { AppError } from '@embergate/contracts/errors.ts';
import { lexicalDocument } from '@embergate/vector-store/lexical-text.ts';
import type { ChunkRow, ChunkVectors, RowVectors } from '@embergate/vector-store/store.ts';
import { BoundedWork } from './bounded-work.ts';
import type { ChunkSource, SourceChunk } from './chunk-source.ts';
import type { EmbedAhead, RefusedChunk } from './embed-ahead.ts';
import { embedHashes, type EmbeddedHashes } from './embed-hashes.ts';
import { chunkKey } from './hash.ts';
import { KnownVectors } from './known-vectors.ts';
import type { IndexRunParts, IndexRunRequest, SpaceEmbedding } from './run-request.ts';
import type { RunProgress } from './run-progress.ts';
import type { RunChunks } from './run-chunks.ts';
import { RunSample } from './run-sample.ts';

/** A chunk that is not in the store yet. */
interface NewChunk {
  key: string;
  row: Omit<ChunkRow, keyof ChunkVectors>;
  text: string;
  /** Made elsewhere. */
  vector: Float32Array | undefined;
}

/** Chunks that are looked up, embedded and written together: enough to sort by length, little enough for memory. */
const BATCH_CHUNKS = 256;
/** Without any vectors, more of them, but for the first, which the model waits for: each write makes the next one slower, and a search too. */
const TEXT_BATCH_CHUNKS = 1_024;
/** Chunks of the chunker are a tenth of it together; those that were made elsewhere may be long. */
const BATCH_CHARACTERS = 4 * 2 ** 20;
/** While one batch is embedded, another is written and a third one chunked. */
const BATCHES_AT_A_TIME = 3;

/** Rows that were found by full text and are written again have to be indexed again, or every search scans them. */
const UNINDEXED_ROWS = 5_000;
const UNINDEXED_SHARE = 1 / 20;
/** Each write may leave something that all later ones open (a fragment in LanceDB). To merge it costs as much as all rows that are there. */
const LOOSE_WRITES = 128;
const LOOSE_SHARE = 1 / 10;

const NO_VECTORS = { vector: null, secondVector: null };

interface RunPassOptions {
  /** Read for this pass. */
  chunks: RunChunks;
  progress: RunProgress;
  /** `later`: what has no vector is written without one, for full text; what `ahead` does not take, a later reading finds and embeds. */
  embed: 'now' | 'later';
  ahead: EmbedAhead;
  /** Vectors of the same texts may be in the collection, and are looked for: one more scan of what has been written, for each batch. */
  hasKnown: boolean;
  /** Aborted by what fails, and with it the request's signal: the rest does not wait for a model that may be away for hours. */
  failing: AbortController;
}

/** One reading of the source: what is new is embedded, where it has no vector, and written as it is found. */
export class RunPass {
  readonly progress: RunProgress;
  readonly #parts: IndexRunParts;
  readonly #request: IndexRunRequest;
  readonly #chunks: RunChunks;
  readonly #embedsNow: boolean;
  readonly #ahead: EmbedAhead;
  readonly #known: KnownVectors | null;
  readonly #failing: AbortController;
  readonly #work = new BoundedWork(BATCHES_AT_A_TIME);
  #batch: NewChunk[] = [];
  #batchCharacters = 0;
  #isFirstBatch = true;
  /** Since the store was last optimized. */
  #written = { writes: 0, rows: 0 };
  readonly sample = new RunSample();

  constructor(
    parts: IndexRunParts,
    request: IndexRunRequest,
    { chunks, progress, embed, ahead, failing, hasKnown }: RunPassOptions,
  ) {
    this.#parts = parts;
    this.#request = request;
    this.#chunks = chunks;
    this.progress = progress;
    this.#embedsNow = embed === 'now';
    this.#ahead = ahead;
    this.#known =
      hasKnown && request.mode === 'incremental'
        ? new KnownVectors(parts.store, request.collection, chunks)
        : null;
    this.#failing = failing;
  }

  async addNewChunks(source: ChunkSource): Promise<void> {
    this.progress.expectBytes(await source.sizeBytes());
    try {
      for await (const page of source.read()) {
        this.#request.signal.throwIfAborted();
        if ('reason' in page) {
          this.progress.skip(page);
          continue;
        }
        this.progress.read(page);
        for (const chunk of page.chunks) await this.#take(chunk, source.repeated);
      }
      this.progress.walked();
      await this.#startBatch();
      await this.#work.finish();
    } catch (error) {
      this.#failing.abort(error);
      throw error;
    } finally {
      await this.#work.settled();
    }
  }

  async #take(chunk: SourceChunk, repeated: ChunkSource['repeated']): Promise<void> {
    const { repo, runId } = this.#request;
    const { embeddedText, vector, lexical = true, kind: _kind, ...shown } = chunk;
    const key = chunkKey({ repo, ...shown });
    if (!this.#chunks.find(key)) {
      if (repeated === 'same') return;
      const where = `${chunk.path}:${chunk.startLine}`;
      throw new AppError('vectors_invalid', `The chunk of ${where} is there twice; nothing was published.`);
    }
    const isThere = this.#isThere(key, vector !== undefined);
    this.sample.offer(key, chunk, !isThere);
    if (isThere) {
      this.#countThere(key);
      return;
    }
    this.#batch.push({
      key,
      text: embeddedText,
      vector,
      row: {
        id: this.#chunks.ownId(key),
        repo,
        ...shown,
        lexicalText: lexical ? lexicalDocument(shown) : '',
        addedBy: runId,
        removedBy: null,
      },
    });
    this.#batchCharacters += embeddedText.length + chunk.text.length;
    const isText = !this.#embedsNow && !this.#known && !vector && !this.#isFirstBatch;
    const most = isText ? TEXT_BATCH_CHUNKS : BATCH_CHUNKS;
    if (this.#batch.length >= most || this.#batchCharacters >= BATCH_CHARACTERS) await this.#startBatch();
  }

  #isThere(key: string, bringsVector: boolean): boolean {
    const chunks = this.#chunks;
    if (chunks.isAhead(key)) return true;
    // A row that an earlier life of an import wrote may be of an earlier file: it is written again.
    if (chunks.isOwn(key)) return !bringsVector && (!this.#embedsNow || !chunks.isUnembedded(key));
    return this.#request.mode === 'incremental' && chunks.isVisible(key);
  }

  #countThere(key: string): void {
    if (this.#chunks.isUnembedded(key)) {
      if (!this.#embedsNow) this.#ahead.leave();
    } else if (!this.#chunks.isAhead(key)) {
      this.progress.reused(1);
    }
  }

  /** What the model refuses is not stored: all other chunks are worth having without it. */
  leaveOut(refused: readonly RefusedChunk[]): void {
    for (const { key, path, reason } of refused) {
      this.#chunks.leaveOut(key);
      this.progress.skip({ path, reason });
    }
  }

  /** Starts what has been gathered, and waits only while too much is under way. */
  async #startBatch(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#batchCharacters = 0;
    this.#isFirstBatch = false;
    this.#ahead.throwFailure();
    if (batch.length > 0) await this.#work.begin(() => this.#write(batch));
  }

  async #write(batch: NewChunk[]): Promise<void> {
    const { rows, refused } = await this.#rowsOf(batch, this.#embedsNow);
    await this.#upsert(rows);
    this.leaveOut(refused);
    if (!this.#embedsNow) this.#embedAhead(batch, rows);
  }

  async #upsert(rows: ChunkRow[]): Promise<void> {
    const { store } = this.#parts;
    const { collection, signal } = this.#request;
    // Somebody else may have this run by now, and have written these rows with their vectors.
    signal.throwIfAborted();
    await store.upsertRows(collection, rows);
    this.#written.writes += 1;
    this.#written.rows += rows.length;
    if (!this.#isOptimizeDue() || signal.aborted) return;
    this.#written = { writes: 0, rows: 0 };
    await store.optimize(collection);
  }

  #isOptimizeDue(): boolean {
    const { writes, rows } = this.#written;
    const { hasUnembedded, ownCount, foundCount } = this.#chunks;
    // Rows that may have been seen before, and that the full-text index does not hold now.
    if (hasUnembedded && rows >= Math.max(UNINDEXED_ROWS, ownCount * UNINDEXED_SHARE)) return true;
    return writes >= LOOSE_WRITES && rows >= foundCount * LOOSE_SHARE;
  }

  /** @param rows those of the batch, as they have just been written. */
  #embedAhead(batch: NewChunk[], rows: readonly ChunkRow[]): void {
    const withVector = new Set(rows.filter(({ vector }) => vector !== null).map(({ id }) => id));
    this.progress.reused(withVector.size);
    const lacking = batch.filter(({ row }) => !withVector.has(row.id));
    for (let at = 0; at < lacking.length; at += BATCH_CHUNKS) {
      const some = lacking.slice(at, at + BATCH_CHUNKS);
      const isTaken = this.#ahead.offer(async () => {
        const made = await this.#rowsOf(some, true);
        await this.#upsert(made.rows);
        return made.refused;
      });
      if (isTaken) this.#chunks.takeAhead(some.map(({ key }) => key));
    }
  }

  /** With all their vectors; where they are not to be made now, without any where one is missing. */
  async #rowsOf(
    batch: NewChunk[],
    embedsNow: boolean,
  ): Promise<{ rows: ChunkRow[]; refused: RefusedChunk[] }> {
    const { second } = this.#parts;
    const known = await this.#knownVectors(batch);
    const firsts = await this.#firstVectors(batch, known, embedsNow);
    const seconds = second ? await this.#secondVectors(batch, known, embedsNow) : null;
    const refused: RefusedChunk[] = [];
    const rows = batch.flatMap(({ key, row, vector: brought }): ChunkRow[] => {
      // Of a file that was moved, those of another text.
      const { embeddedHash, ...there } = known.get(key) ?? { ...NO_VECTORS, embeddedHash: row.embeddedHash };
      const vector = brought ?? there.vector ?? firsts.vectors.get(row.embeddedHash);
      const secondVector = there.secondVector ?? seconds?.vectors.get(row.embeddedHash) ?? null;
      if (vector && (!second || secondVector)) return [{ ...row, embeddedHash, vector, secondVector }];
      if (!embedsNow) return [{ ...row, ...NO_VECTORS }];
      const why = firsts.refused.get(row.embeddedHash) ?? seconds?.refused.get(row.embeddedHash);
      if (!why) throw new AppError('index_failed', `No vector came for ${row.path}:${row.startLine}.`);
      refused.push({ key, path: row.path, reason: refusedReason(row, why) });
      return [];
    });
    return { rows, refused };
  }

  async #knownVectors(batch: NewChunk[]): Promise<Map<string, RowVectors>> {
    const wanted = this.#parts.second ? batch : batch.filter(({ vector }) => vector === undefined);
    if (!this.#known || wanted.length === 0) return new Map();
    return this.#known.of(wanted.map(({ key, row, text }) => ({ key, identity: row, embeddedText: text })));
  }

  /** Of the chunks that bring none: those that are known, and the rest from the model. */
  async #firstVectors(
    batch: NewChunk[],
    known: ReadonlyMap<string, RowVectors>,
    embedsNow: boolean,
  ): Promise<EmbeddedHashes> {
    const without = batch.filter(({ vector }) => vector === undefined);
    const missing = textsOf(embedsNow ? without.filter(({ key }) => !known.has(key)) : []);
    const made = await embedHashes(this.#parts, missing, {
      signal: this.#request.signal,
      onEmbedded: (chunks, tokens) => this.progress.embedded(chunks, tokens),
    });
    // Texts that stand more than once are embedded once.
    if (embedsNow) this.progress.reused(batch.length - missing.size, { ahead: !this.#embedsNow });
    return made;
  }

  async #secondVectors(
    batch: NewChunk[],
    known: ReadonlyMap<string, RowVectors>,
    embedsNow: boolean,
  ): Promise<EmbeddedHashes> {
    const missing = textsOf(embedsNow ? batch.filter(({ key }) => !known.get(key)?.secondVector) : []);
    const made = await embedHashes(this.#parts.second as SpaceEmbedding, missing, {
      signal: this.#request.signal,
      onEmbedded: (_chunks, tokens) => this.progress.embedded(0, tokens),
    });
    return made;
  }
}

const textsOf = (chunks: readonly NewChunk[]): Map<string, string> =>
  new Map(chunks.map(({ row, text }) => [row.embeddedHash, text]));

/** Why a chunk is skipped that the model refuses. */
export const refusedReason = (
  { startLine, endLine }: Pick<ChunkRow, 'startLine' | 'endLine'>,
  why: AppError,
): string => `lines ${startLine} to ${endLine} are left out: ${why.message}`;
