import { AppError } from '@embergate/contracts/errors.ts';
import { lexicalDocument } from '@embergate/vector-store/lexical-text.ts';
import type { ChunkRow, ChunkVectors } from '@embergate/vector-store/store.ts';
import type { ChunkSource, SourceChunk } from './chunk-source.ts';
import { chunkKey } from './hash.ts';
import type { IndexRunParts, IndexRunRequest, VectorSample } from './run-request.ts';
import { RunProgress } from './run-progress.ts';
import { rowId, type KnownRows } from './run-rows.ts';

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
/** Chunks of the chunker are a tenth of it together; those that were made elsewhere may be long. */
const BATCH_CHARACTERS = 4 * 2 ** 20;
/** Vectors made elsewhere that are compared with the model's own. */
const SAMPLED_VECTORS = 8;
/** While one batch is embedded, another is written and a third one chunked. */
const BATCHES_AT_A_TIME = 3;

/** One reading of the source: what is new is embedded, where it has no vector, and written as it is found. */
export class RunPass {
  readonly progress: RunProgress;
  readonly #parts: IndexRunParts;
  readonly #request: IndexRunRequest;
  readonly #known: KnownRows;
  readonly #seen = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();
  #batch: NewChunk[] = [];
  #batchCharacters = 0;
  #failure: unknown;
  /** Of the vectors that were made elsewhere: each as likely as any other (Vitter's algorithm R). */
  readonly sample: VectorSample[] = [];
  #vectors = 0;

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

  async #take(chunk: SourceChunk, repeated: ChunkSource['repeated']): Promise<void> {
    const { repo, runId, mode } = this.#request;
    const { embeddedText, vector, kind: _kind, ...shown } = chunk;
    const key = chunkKey({ repo, ...shown });
    if (this.#seen.has(key)) {
      if (repeated === 'same') return;
      const where = `${chunk.path}:${chunk.startLine}`;
      throw new AppError('vectors_invalid', `The chunk of ${where} is there twice; nothing was published.`);
    }
    this.#seen.add(key);
    if (vector) this.#sampleVector({ path: chunk.path, text: embeddedText, vector });
    // A row that an earlier life of an import wrote may be of an earlier file: it is written again.
    const isOwn = this.#known.own.has(key) && !vector;
    if (isOwn || (mode === 'incremental' && this.#known.visible.has(key))) {
      this.progress.reused(1);
      return;
    }
    this.#batch.push({
      key,
      text: embeddedText,
      vector,
      row: {
        id: rowId(key, mode === 'full' ? runId : null),
        repo,
        ...shown,
        lexicalText: lexicalDocument(shown),
        addedBy: runId,
        removedBy: null,
      },
    });
    this.#batchCharacters += embeddedText.length + chunk.text.length;
    if (this.#batch.length >= BATCH_CHUNKS || this.#batchCharacters >= BATCH_CHARACTERS)
      await this.#startBatch();
  }

  #sampleVector(one: VectorSample): void {
    const place =
      this.#vectors < SAMPLED_VECTORS ? this.#vectors : Math.floor(Math.random() * (this.#vectors + 1));
    this.#vectors += 1;
    if (place < SAMPLED_VECTORS) this.sample[place] = one;
  }

  /** Starts what has been gathered, and waits only while too much is under way. */
  async #startBatch(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#batchCharacters = 0;
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
    const { collection } = this.#request;
    const without = batch.filter(({ vector }) => vector === undefined);
    const known = await this.#knownVectors(without);
    this.progress.reused(
      batch.length - without.length + without.filter(({ row }) => known.has(row.embeddedHash)).length,
    );
    const refused = await this.#embedMissing(without, known);
    const rows = batch.flatMap(({ row, key, vector }): ChunkRow[] => {
      const vectors = vector ? { vector, secondVector: null } : known.get(row.embeddedHash);
      if (vectors) return [{ ...row, ...vectors }];
      const why = refused.get(row.embeddedHash);
      if (!why) throw new AppError('index_failed', `No vector came for ${row.path}:${row.startLine}.`);
      // All others are worth having without it.
      this.#seen.delete(key);
      this.progress.skip({ path: row.path, reason: refusedReason(row, why) });
      return [];
    });
    await store.upsertRows(collection, rows);
  }

  async #knownVectors(batch: NewChunk[]): Promise<Map<string, ChunkVectors>> {
    if (this.#request.mode === 'full' || batch.length === 0) return new Map();
    const hashes = [...new Set(batch.map(({ row }) => row.embeddedHash))];
    return this.#parts.store.vectorsByHash(this.#request.collection, hashes);
  }

  /** Adds to `vectors` what is not in it. @returns why the model refuses a text, by its hash. */
  async #embedMissing(batch: NewChunk[], vectors: Map<string, ChunkVectors>): Promise<Map<string, AppError>> {
    const refused = new Map<string, AppError>();
    const missing = batch.filter(({ row }) => !vectors.has(row.embeddedHash));
    if (missing.length === 0) return refused;
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
      const answer = made[index];
      if (answer instanceof AppError) refused.set(hash, answer);
      else if (answer) vectors.set(hash, { vector: answer, secondVector: null });
    });
    return refused;
  }
}

const refusedReason = (
  { startLine, endLine }: Pick<ChunkRow, 'startLine' | 'endLine'>,
  why: AppError,
): string => `lines ${startLine} to ${endLine} are left out: ${why.message}`;

const tokensOf = (inputs: readonly Uint32Array[]): number => inputs.reduce((sum, ids) => sum + ids.length, 0);
