import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import { lexicalDocument } from '@embergate/vector-store/lexical-text.ts';
import type {
  ChunkRow,
  CollectionSpaces,
  CollectionStamp,
  VectorStore,
  VisibleRow,
} from '@embergate/vector-store/store.ts';
import { successorName } from '@embergate/vector-store/successor.ts';
import { BoundedWork } from './bounded-work.ts';
import { embedHashes, type EmbeddedHashes } from './embed-hashes.ts';
import { chunkKey, embeddedHash } from './hash.ts';
import { refusedReason } from './run-pass.ts';
import { RunProgress, type ProgressListener } from './run-progress.ts';
import type { SpaceEmbedding } from './run-request.ts';
import { abandonRun, isPublished, isUnderWay } from './sweep.ts';
import { storedText, withoutSignature } from './stored-text.ts';

export interface MoveParts {
  store: VectorStore;
  first: SpaceEmbedding;
  /** Null: the collection shall carry one space. */
  second: SpaceEmbedding | null;
}

export interface MoveRequest {
  /** Also the job's id: a move that is picked up again goes on under the same one. */
  moveId: string;
  collection: string;
  signal: AbortSignal;
  onProgress: ProgressListener;
}

/** A row on its way, and where its vectors come from. */
interface MovingRow {
  row: VisibleRow;
  text: string;
  /** Of the text. The row's own is of another one where it was moved: rows of one hash may be other texts now. */
  textHash: string;
  vector: Float32Array | null;
  secondVector: Float32Array | null;
}

/** While one page is embedded, another is written and a third one read. */
const PAGES_AT_A_TIME = 3;

/**
 * Moves a collection to other spaces: a successor is filled beside it, and takes its place in one step.
 *
 *   createSuccessor --pages of visible rows, embedded and written--> counted --replaceBySuccessor--> in place
 *
 * Vectors of a space that the collection carries already are copied. Searches see the old rows until the step, and the
 * new ones from then on. A move that was killed finds the rows that it has written; one that has taken place is left as it is.
 * Nothing may index into the collection meanwhile; where something did, nothing is replaced.
 *
 * @throws AppError `collection_not_found`, `index_failed` when the collection changed meanwhile, those of the store and the
 * model; the signal's reason when aborted.
 */
export async function moveCollection(parts: MoveParts, request: MoveRequest): Promise<void> {
  const { store } = parts;
  const { collection, moveId, signal } = request;
  signal.throwIfAborted();
  await dropOthers(store, request);
  if ((await store.createSuccessor(collection, moveId, spacesOf(parts))) === 'replaced') return;
  try {
    await fillAndReplace(parts, request);
  } catch (error) {
    // An attempt that this one took over from, and that was slow to notice, has made the step.
    const isGone = toAppError(error).code === 'collection_not_found';
    if (isGone && (await store.createSuccessor(collection, moveId, spacesOf(parts))) === 'replaced') return;
    throw error;
  }
}

/** What moves have left that the queue knows nothing of any more: there is one at a time. */
async function dropOthers(store: VectorStore, { collection, moveId }: MoveRequest): Promise<void> {
  for (const { name, id } of await store.listSuccessors())
    if (name === collection && id !== moveId) await store.dropSuccessor(name, id);
}

async function fillAndReplace(parts: MoveParts, request: MoveRequest): Promise<void> {
  const { store } = parts;
  const { collection, moveId, signal } = request;
  const stamp = await store.getCollection(collection);
  const before = await runsBefore(store, collection);
  const progress = new RunProgress(request.onProgress);
  progress.expectChunks(await countRows(store, collection));
  const move = new Move(parts, request, { stamp, progress });
  await move.copyRows();
  progress.publishing(0);
  const successor = successorName(collection, moveId);
  await store.optimize(successor);
  await expectUnchanged(store, { collection, before, rows: move.read });
  const copied = await countRows(store, successor);
  if (copied !== move.kept)
    throw changed(collection, `${move.kept} chunks were copied, and ${copied} are there`);
  signal.throwIfAborted();
  await store.replaceBySuccessor(collection, moveId);
}

const spacesOf = ({ first, second }: Pick<MoveParts, 'first' | 'second'>): CollectionSpaces => ({
  space: first.space,
  secondSpace: second?.space ?? null,
});

class Move {
  readonly #parts: MoveParts;
  readonly #request: MoveRequest;
  readonly #stamp: CollectionStamp;
  readonly #progress: RunProgress;
  readonly #successor: string;
  /** Ids of all rows that the successor shall hold. */
  readonly #ids = new Set<string>();
  /** Ids of the rows that were read, and are written or about to be: a store that was away meanwhile gives them once more. */
  readonly #read = new Set<string>();

  constructor(
    parts: MoveParts,
    request: MoveRequest,
    { stamp, progress }: { stamp: CollectionStamp; progress: RunProgress },
  ) {
    this.#parts = parts;
    this.#request = request;
    this.#stamp = stamp;
    this.#progress = progress;
    this.#successor = successorName(request.collection, request.moveId);
  }

  /** Rows that the successor shall hold. */
  get kept(): number {
    return this.#ids.size;
  }

  /** Rows that the collection held. */
  get read(): number {
    return this.#read.size;
  }

  async copyRows(): Promise<void> {
    const { store } = this.#parts;
    const { collection, signal } = this.#request;
    const there = await rowIds(store, this.#successor);
    const work = new BoundedWork(PAGES_AT_A_TIME);
    try {
      for await (const page of store.visibleRows(collection)) {
        signal.throwIfAborted();
        const unread = page.filter(({ id }) => !this.#read.has(id));
        this.#progress.read({ bytes: 0, files: 0, chunks: unread });
        for (const { id } of unread) this.#read.add(id);
        const moving = unread.map((row) => this.#prepare(row));
        for (const { row } of moving) this.#ids.add(row.id);
        const missing = moving.filter(({ row }) => !there.has(row.id));
        this.#progress.reused(unread.length - missing.length);
        if (missing.length > 0) await work.begin(() => this.#write(missing));
      }
      await work.finish();
    } finally {
      await work.settled();
    }
    this.#progress.walked();
  }

  #prepare(row: VisibleRow): MovingRow {
    const [vector, secondVector] = [this.#parts.first, this.#parts.second].map(
      (wanted) => wanted && this.#known(row, wanted),
    ) as [Float32Array | null, Float32Array | null];
    const known = storedText(row);
    if (known !== null) return { row, text: known, textHash: row.embeddedHash, vector, secondVector };
    const text = withoutSignature(row);
    const textHash = embeddedHash(text);
    if (vector !== null) return { row, text, textHash, vector, secondVector };
    // What was embedded before cannot be told any more: with a vector of another text it is another chunk, which the
    // next index run puts right.
    const renamed = { ...row, embeddedHash: textHash };
    const moved = { ...renamed, id: chunkKey(renamed) };
    return { row: moved, text, textHash, vector: null, secondVector: null };
  }

  /** The row's vector of a space that the collection has already. */
  #known(row: VisibleRow, { space }: SpaceEmbedding): Float32Array | null {
    const wanted = spaceId(space);
    if (spaceId(this.#stamp.space) === wanted) return row.vector;
    const { secondSpace } = this.#stamp;
    return secondSpace && spaceId(secondSpace) === wanted ? row.secondVector : null;
  }

  async #write(moving: readonly MovingRow[]): Promise<void> {
    const { store, first, second } = this.#parts;
    const lacking = moving.filter(({ vector }) => vector === null);
    const made = await this.#embed(first, lacking, true);
    // A chunk counts once, by the first of its vectors that is made.
    const isCounted = lacking.length === 0;
    const lackingSecond = moving.filter(({ secondVector }) => secondVector === null);
    const madeSecond = second ? await this.#embed(second, lackingSecond, isCounted) : null;
    const rows = moving.flatMap(({ row: { lexical, ...row }, textHash, ...own }): ChunkRow[] => {
      const lexicalText = lexical ? lexicalDocument(row) : '';
      const vector = own.vector ?? made.vectors.get(textHash);
      const secondVector = own.secondVector ?? madeSecond?.vectors.get(textHash) ?? null;
      if (vector && (!second || secondVector)) return [{ ...row, vector, secondVector, lexicalText }];
      const why = made.refused.get(textHash) ?? madeSecond?.refused.get(textHash);
      if (!why) throw new AppError('index_failed', `No vector came for ${row.path}:${row.startLine}.`);
      // As in an index run, and the next one tries it again: a row that is there without a vector would never get one.
      this.#ids.delete(row.id);
      this.#progress.skip({ path: row.path, reason: refusedReason(row, why) });
      return [];
    });
    const { size } = made.vectors;
    this.#progress.reused(rows.length - size - (isCounted ? (madeSecond?.vectors.size ?? 0) : 0));
    await store.upsertRows(this.#successor, rows);
  }

  #embed(
    embedding: SpaceEmbedding,
    moving: readonly MovingRow[],
    isCounted: boolean,
  ): Promise<EmbeddedHashes> {
    const texts = new Map(moving.map(({ textHash, text }) => [textHash, text]));
    const { signal } = this.#request;
    const onEmbedded = (chunks: number, tokens: number): void =>
      this.#progress.embedded(isCounted ? chunks : 0, tokens);
    return embedHashes(embedding, texts, { signal, onEmbedded });
  }
}

async function rowIds(store: VectorStore, collection: string): Promise<Set<string>> {
  const ids = new Set<string>();
  for (const { repo } of await store.countByRepo(collection)) {
    for await (const page of store.stamps(collection, repo)) for (const { id } of page) ids.add(id);
  }
  return ids;
}

const countRows = async (store: VectorStore, collection: string): Promise<number> =>
  (await store.countByRepo(collection)).reduce((sum, { chunks }) => sum + chunks, 0);

/**
 * Ids of the published runs. The queue lets no index job begin beside a move, so one that is under way now is nobody's any
 * more, and is given up: the sweeper would do so in the middle of the move.
 */
async function runsBefore(store: VectorStore, collection: string): Promise<Set<string>> {
  const runs = await store.listRuns(collection);
  for (const run of runs.filter(isUnderWay)) await abandonRun(store, { collection, runId: run.id });
  return new Set(runs.filter(isPublished).map(({ id }) => id));
}

/** Should a job have slipped through all the same, its rows would be lost, or get vectors of another space. */
async function expectUnchanged(
  store: VectorStore,
  { collection, before, rows }: { collection: string; before: ReadonlySet<string>; rows: number },
): Promise<void> {
  const runs = await store.listRuns(collection);
  const begun = runs.find((run) => isUnderWay(run) || (isPublished(run) && !before.has(run.id)));
  if (begun) throw changed(collection, `the run ${begun.id} was begun`);
  const held = await countRows(store, collection);
  if (held !== rows) throw changed(collection, `it holds ${held} chunks, and ${rows} were read`);
}

const changed = (collection: string, what: string): AppError =>
  new AppError(
    'index_failed',
    `The collection "${collection}" changed while it was moved (${what}); nothing was replaced. Start the move again.`,
  );
