import { AppError } from '@embergate/contracts/errors.ts';
import { lexicalDocument } from '@embergate/vector-store/lexical-text.ts';
import type { ChunkRow, ChunkVectors } from '@embergate/vector-store/store.ts';
import { BoundedWork } from './bounded-work.ts';
import type { ChunkSource, SourceChunk } from './chunk-source.ts';
import { embedHashes } from './embed-hashes.ts';
import { chunkKey } from './hash.ts';
import type { IndexRunParts, IndexRunRequest, SpaceEmbedding } from './run-request.ts';
import { RunProgress } from './run-progress.ts';
import { rowId, type KnownRows } from './run-rows.ts';

/** A chunk that is not in the store yet. */
interface NewChunk {
  row: Omit<ChunkRow, keyof ChunkVectors>;
  text: string;
  /** Made elsewhere. */
  vector: Float32Array | undefined;
}

/** Chunks that are looked up, embedded and written together: enough to sort by length, little enough for memory. */
const BATCH_CHUNKS = 256;
/** Chunks of the chunker are a tenth of it together; those that were made elsewhere may be long. */
const BATCH_CHARACTERS = 4 * 2 ** 20;
/** While one batch is embedded, another is written and a third one chunked. */
const BATCHES_AT_A_TIME = 3;

/** One reading of the source: what is new is embedded, where it has no vector, and written as it is found. */
export class RunPass {
  readonly progress: RunProgress;
  readonly #parts: IndexRunParts;
  readonly #request: IndexRunRequest;
  readonly #known: KnownRows;
  readonly #seen = new Set<string>();
  readonly #work = new BoundedWork(BATCHES_AT_A_TIME);
  #batch: NewChunk[] = [];
  #batchCharacters = 0;

  constructor(parts: IndexRunParts, request: IndexRunRequest, known: KnownRows) {
    this.#parts = parts;
    this.#request = request;
    this.#known = known;
    this.progress = new RunProgress(request.onProgress);
  }

  get chunkCount(): number {
    return this.#seen.size;
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
    } finally {
      await this.#work.settled();
    }
  }

  /** Ids of rows that are no longer in the source, or that a full run has made anew. */
  stale(): string[] {
    const { visible, own } = this.#known;
    const gone = [...own].filter(([key]) => !this.#seen.has(key));
    const replaced = [...visible].filter(([key]) => this.#request.mode === 'full' || !this.#seen.has(key));
    return [...gone, ...replaced].map(([, id]) => id);
  }

  async #take(chunk: SourceChunk, repeated: ChunkSource['repeated']): Promise<void> {
    const { repo, runId, mode } = this.#request;
    const { embeddedText, vector, lexical = true, kind: _kind, ...shown } = chunk;
    const key = chunkKey({ repo, ...shown });
    if (this.#seen.has(key)) {
      if (repeated === 'same') return;
      const where = `${chunk.path}:${chunk.startLine}`;
      throw new AppError('vectors_invalid', `The chunk of ${where} is there twice; nothing was published.`);
    }
    this.#seen.add(key);
    if (this.#known.own.has(key) || (mode === 'incremental' && this.#known.visible.has(key))) {
      this.progress.reused(1);
      return;
    }
    this.#batch.push({
      text: embeddedText,
      vector,
      row: {
        id: rowId(key, mode === 'full' ? runId : null),
        repo,
        ...shown,
        lexicalText: lexical ? lexicalDocument(shown) : '',
        addedBy: runId,
        removedBy: null,
      },
    });
    this.#batchCharacters += embeddedText.length + chunk.text.length;
    if (this.#batch.length >= BATCH_CHUNKS || this.#batchCharacters >= BATCH_CHARACTERS)
      await this.#startBatch();
  }

  /** Starts what has been gathered, and waits only while too much is under way. */
  async #startBatch(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#batchCharacters = 0;
    if (batch.length > 0) await this.#work.begin(() => this.#write(batch));
  }

  async #write(batch: NewChunk[]): Promise<void> {
    const { store, second } = this.#parts;
    const { collection } = this.#request;
    const known = await this.#knownVectors(batch);
    const firsts = await this.#firstVectors(batch, known);
    const seconds = second ? await this.#secondVectors(batch, known) : null;
    const rows = batch.map(({ row, vector = firsts.get(row.embeddedHash) }): ChunkRow => {
      const secondVector = seconds?.get(row.embeddedHash) ?? null;
      if (!vector || (second && !secondVector))
        throw new AppError('index_failed', `No vector came for ${row.path}:${row.startLine}.`);
      return { ...row, vector, secondVector };
    });
    await store.upsertRows(collection, rows);
  }

  async #knownVectors(batch: NewChunk[]): Promise<Map<string, ChunkVectors>> {
    const wanted = this.#parts.second ? batch : batch.filter(({ vector }) => vector === undefined);
    if (this.#request.mode === 'full' || wanted.length === 0) return new Map();
    const hashes = [...new Set(wanted.map(({ row }) => row.embeddedHash))];
    return this.#parts.store.vectorsByHash(this.#request.collection, hashes);
  }

  /** Of the chunks that bring none: those that are known, and the rest from the model. */
  async #firstVectors(
    batch: NewChunk[],
    known: ReadonlyMap<string, ChunkVectors>,
  ): Promise<Map<string, Float32Array>> {
    const without = batch.filter(({ vector }) => vector === undefined);
    const missing = textsOf(without.filter(({ row }) => !known.has(row.embeddedHash)));
    const vectors = await embedHashes(this.#parts, missing, {
      signal: this.#request.signal,
      onEmbedded: (chunks, tokens) => this.progress.embedded(chunks, tokens),
    });
    // Texts that stand more than once are embedded once.
    this.progress.reused(batch.length - missing.size);
    for (const [hash, { vector }] of known) vectors.set(hash, vector);
    return vectors;
  }

  async #secondVectors(
    batch: NewChunk[],
    known: ReadonlyMap<string, ChunkVectors>,
  ): Promise<Map<string, Float32Array>> {
    const missing = textsOf(batch.filter(({ row }) => !known.get(row.embeddedHash)?.secondVector));
    const vectors = await embedHashes(this.#parts.second as SpaceEmbedding, missing, {
      signal: this.#request.signal,
      onEmbedded: (_chunks, tokens) => this.progress.embedded(0, tokens),
    });
    for (const [hash, { secondVector }] of known) if (secondVector) vectors.set(hash, secondVector);
    return vectors;
  }
}

const textsOf = (batch: readonly NewChunk[]): Map<string, string> =>
  new Map(batch.map(({ row, text }) => [row.embeddedHash, text]));
