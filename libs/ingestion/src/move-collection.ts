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
import { embedHashes } from './embed-hashes.ts';
import { chunkKey, embeddedHash } from './hash.ts';
import { RunProgress, type ProgressListener } from './run-progress.ts';
import type { SpaceEmbedding } from './run-request.ts';
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
  const stamp = await store.getCollection(collection);
  const before = await publishedRuns(store, collection);
  if ((await store.createSuccessor(collection, moveId, spacesOf(parts))) === 'replaced') return;
  const progress = new RunProgress(request.onProgress);
  const expected = await countRows(store, collection);
  progress.expectChunks(expected);
  await new Move(parts, request, { stamp, progress }).copyRows();
  progress.publishing(0);
  const successor = successorName(collection, moveId);
  await store.optimize(successor);
  signal.throwIfAborted();
  await expectUnchanged(store, { collection, before });
  await expectCount(store, { collection, successor });
  await store.replaceBySuccessor(collection, moveId);
}

/**
 * Undoes a move that was cancelled: what it has written goes.
 * @returns false when the successor is in place; it is then left as it is.
 */
export async function undoMove(
  { store, first, second }: MoveParts,
  { collection, moveId }: Pick<MoveRequest, 'collection' | 'moveId'>,
): Promise<boolean> {
  const spaces = spacesOf({ first, second });
  try {
    if ((await store.createSuccessor(collection, moveId, spaces)) === 'replaced') return false;
    await store.dropSuccessor(collection, moveId);
  } catch (error) {
    if (toAppError(error).code !== 'collection_not_found') throw error;
  }
  return true;
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

  async copyRows(): Promise<void> {
    const { store } = this.#parts;
    const { collection, signal } = this.#request;
    const there = await rowIds(store, this.#successor);
    const work = new BoundedWork(PAGES_AT_A_TIME);
    try {
      for await (const page of store.visibleRows(collection)) {
        signal.throwIfAborted();
        this.#progress.read({ bytes: 0, files: 0, chunks: page });
        const moving = page.map((row) => this.#prepare(row));
        const missing = moving.filter(({ row }) => !there.has(row.id));
        this.#progress.reused(page.length - missing.length);
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
    const text = known ?? withoutSignature(row);
    // What was embedded before cannot be told any more: with a vector of another text it is another chunk, which the
    // next index run puts right.
    const moved = known === null && vector === null ? withText(row, text) : row;
    return { row: moved, text, vector, secondVector };
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
    const made = await this.#embed(first, lacking, (chunks, tokens) =>
      this.#progress.embedded(chunks, tokens),
    );
    this.#progress.reused(moving.length - made.size);
    const madeSecond = second
      ? await this.#embed(
          second,
          moving.filter(({ secondVector }) => secondVector === null),
          (_chunks, tokens) => this.#progress.embedded(0, tokens),
        )
      : null;
    const rows = moving.map(({ row, ...own }): ChunkRow => {
      const vector = own.vector ?? made.get(row.embeddedHash);
      const secondVector = own.secondVector ?? madeSecond?.get(row.embeddedHash) ?? null;
      if (!vector || (second && !secondVector))
        throw new AppError('index_failed', `No vector came for ${row.path}:${row.startLine}.`);
      return { ...row, vector, secondVector, lexicalText: lexicalDocument(row) };
    });
    await store.upsertRows(this.#successor, rows);
  }

  #embed(
    embedding: SpaceEmbedding,
    moving: readonly MovingRow[],
    onEmbedded: (chunks: number, tokens: number) => void,
  ): Promise<Map<string, Float32Array>> {
    const texts = new Map(moving.map(({ row, text }) => [row.embeddedHash, text]));
    return embedHashes(embedding, texts, { signal: this.#request.signal, onEmbedded });
  }
}

function withText(row: VisibleRow, text: string): VisibleRow {
  const renamed = { ...row, embeddedHash: embeddedHash(text) };
  return { ...renamed, id: chunkKey(renamed) };
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

/** Ids of runs that show, or may soon show, something. */
async function publishedRuns(store: VectorStore, collection: string): Promise<Set<string>> {
  const runs = await store.listRuns(collection);
  return new Set(runs.filter(({ state }) => state !== 'cancelled').map(({ id }) => id));
}

async function expectUnchanged(
  store: VectorStore,
  { collection, before }: { collection: string; before: ReadonlySet<string> },
): Promise<void> {
  const now = await publishedRuns(store, collection);
  const begun = [...now].filter((id) => !before.has(id));
  if (begun.length > 0) throw changed(collection, `the run ${begun[0]} was begun`);
}

async function expectCount(
  store: VectorStore,
  { collection, successor }: { collection: string; successor: string },
): Promise<void> {
  const [held, copied] = await Promise.all([countRows(store, collection), countRows(store, successor)]);
  if (held !== copied) throw changed(collection, `it holds ${held} chunks, and ${copied} were copied`);
}

const changed = (collection: string, what: string): AppError =>
  new AppError(
    'index_failed',
    `The collection "${collection}" changed while it was moved (${what}); nothing was replaced. Start the move again.`,
  );
