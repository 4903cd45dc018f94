import type { VectorStore } from '@embergate/vector-store/store.ts';
import { isKey, KeyMarks, MOST_TAG } from './key-marks.ts';
import { keyAndSuffix, remainingRows, rowId, type RemainingRow, type RunOfRepo } from './run-rows.ts';

/** What is known of a chunk. */
const MARK = {
  /** Found in the source, and not left out. */
  found: 1,
  /** Has a row that is visible before the run is published, and that the run has not marked as removed. */
  visible: 2,
  /** Has a row that this run added, in an earlier life or reading. */
  own: 4,
  /** That row has no vector yet. */
  unembedded: 8,
  /** Is being, or has been, embedded ahead. */
  ahead: 16,
  /** The store has been seen to hold it. */
  counted: 32,
} as const;

/** Where an id has none. */
const NO_SUFFIX = '';

interface ChunkRun extends RunOfRepo {
  mode: 'incremental' | 'full';
}

/** What a run knows of the chunks of its repo, by their keys: of those in the store, and of those in the source. */
export class RunChunks {
  readonly #run: ChunkRun;
  readonly #marks = new KeyMarks();
  /** What ids of visible rows have after their key. */
  readonly #suffixes = [NO_SUFFIX];
  /** Visible rows that can be no chunk's any more. */
  readonly #strangers = new Set<string>();
  readonly #gonePaths = new Set<string>();
  #found = 0;
  #own = 0;
  #unembedded = 0;

  constructor(run: ChunkRun) {
    this.#run = run;
  }

  /**
   * Reads which rows of the repo are there; for another reading of the source, which nothing has been found of.
   * @param paths all that the source has, where they are known.
   */
  async read(store: VectorStore, paths?: ReadonlySet<string>): Promise<void> {
    this.#marks.clear(MARK.found | MARK.visible | MARK.own | MARK.unembedded);
    this.#strangers.clear();
    this.#gonePaths.clear();
    this.#found = this.#own = this.#unembedded = 0;
    for await (const page of remainingRows(store, this.#run))
      for (const row of page) {
        this.#addRow(row);
        if (paths && !row.isOwn && !paths.has(row.path)) this.#gonePaths.add(row.path);
      }
    // Only a repo's first run leaves rows without vectors, and it has some of its own then.
    if (this.#own === 0) return;
    for await (const page of store.unembedded(this.#run.collection, this.#run.runId))
      for (const id of page)
        if (this.#marks.add(keyAndSuffix(id).key, MARK.unembedded)) this.#unembedded += 1;
  }

  #addRow({ id, isOwn }: RemainingRow): void {
    const { key, suffix } = keyAndSuffix(id);
    if (!isKey(key)) return void this.#strangers.add(id);
    if (isOwn) {
      if (this.#marks.add(key, MARK.own)) this.#own += 1;
      return;
    }
    const tag = this.#tagOf(suffix);
    if (tag > MOST_TAG) return void this.#strangers.add(id);
    // A row may come twice, when what reads them begins anew.
    const isFirst = this.#marks.add(key, MARK.visible, tag);
    if (!isFirst && this.#marks.tagOf(key) !== tag) this.#strangers.add(id);
  }

  #tagOf(suffix: string): number {
    const known = this.#suffixes.indexOf(suffix);
    return known >= 0 ? known : this.#suffixes.push(suffix) - 1;
  }

  /** @returns false where it has been found before. */
  find(key: string): boolean {
    const isNew = this.#marks.add(key, MARK.found);
    if (isNew) this.#found += 1;
    return isNew;
  }

  /** It has been found, and shall not be stored. */
  leaveOut(key: string): void {
    if (this.#marks.remove(key, MARK.found)) this.#found -= 1;
  }

  /** Where visible rows are from and the source has nothing any more: it was moved, or is gone. */
  get gonePaths(): ReadonlySet<string> {
    return this.#gonePaths;
  }

  get foundCount(): number {
    return this.#found;
  }

  get ownCount(): number {
    return this.#own;
  }

  get hasUnembedded(): boolean {
    return this.#unembedded > 0;
  }

  isFound(key: string): boolean {
    return this.#marks.has(key, MARK.found);
  }

  isVisible(key: string): boolean {
    return this.#marks.has(key, MARK.visible);
  }

  isOwn(key: string): boolean {
    return this.#marks.has(key, MARK.own);
  }

  isUnembedded(key: string): boolean {
    return this.#marks.has(key, MARK.unembedded);
  }

  isAhead(key: string): boolean {
    return this.#marks.has(key, MARK.ahead);
  }

  takeAhead(keys: readonly string[]): void {
    for (const key of keys) this.#marks.add(key, MARK.ahead);
  }

  /** Of the row that this run makes of the chunk. */
  ownId(key: string): string {
    return rowId(key, this.#run.mode === 'full' ? this.#run.runId : null);
  }

  /** Of the row of the chunk that is visible. */
  visibleId(key: string): string {
    return key + this.#suffixes[this.#marks.tagOf(key)];
  }

  /** Of the row that will be visible when the run is published. */
  keptId(key: string): string {
    return this.#run.mode === 'incremental' && this.isVisible(key) ? this.visibleId(key) : this.ownId(key);
  }

  /** Ids of rows that are no longer in the source, or that a full run has made anew. */
  *staleIds(): Generator<string, void, undefined> {
    yield* this.#strangers;
    for (const { key, marks, tag } of this.#marks.entries()) {
      const isFound = (marks & MARK.found) !== 0;
      if ((marks & MARK.own) !== 0 && !isFound) yield this.ownId(key);
      if ((marks & MARK.visible) !== 0 && this.#isReplaced(isFound)) yield key + this.#suffixes[tag];
    }
  }

  #isReplaced(isFound: boolean): boolean {
    return this.#run.mode === 'full' || !isFound;
  }

  /** Whether the store holds a row without a vector for a chunk that was found. */
  async lacksVectors(store: VectorStore): Promise<boolean> {
    const { collection, runId } = this.#run;
    for await (const page of store.unembedded(collection, runId))
      if (page.some((id) => this.isFound(keyAndSuffix(id).key))) return true;
    return false;
  }

  /**
   * Compares with what the store holds now, but for what is stale.
   * @returns chunks that were found and are not there, and rows that are there and were not found.
   */
  async compare(store: VectorStore): Promise<{ missing: number; unknown: number }> {
    this.#marks.clear(MARK.counted);
    let [missing, unknown] = [this.#found, 0];
    for await (const page of remainingRows(store, this.#run))
      for (const { id, isOwn } of page) {
        const { key } = keyAndSuffix(id);
        if (this.#strangers.has(id)) continue;
        const isFound = isKey(key) && this.#marks.has(key, MARK.found);
        const isKnown = isKey(key) && this.#marks.has(key, isOwn ? MARK.own : MARK.visible);
        if (isOwn ? isKnown && !isFound : isKnown && this.#isReplaced(isFound)) continue;
        if (!isFound) unknown += 1;
        else if (this.#marks.add(key, MARK.counted)) missing -= 1;
      }
    return { missing, unknown };
  }
}
