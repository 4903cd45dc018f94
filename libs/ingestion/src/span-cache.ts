import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { Span } from './pack.ts';

/** What is not asked for so long is deleted. */
const KEPT_DAYS = 30;
/** Noting each use would write the whole cache anew each day. */
const NOTED_AFTER_DAYS = 7;
const DAY_MS = 86_400_000;
const FLUSH_MS = 1_000;
const FLUSH_ENTRIES = 256;
/** While another indexer writes. */
const BUSY_MS = 200;
/** Primary result codes of SQLite, https://sqlite.org/rescode.html: somebody else writes, and two of a damaged file. */
const BUSY = 5;
const DAMAGED: ReadonlySet<number | undefined> = new Set([11, 26]);

export interface SpanCacheOptions {
  /** Told once, when the cache breaks: all goes on without it, and slower. */
  onFailure: (error: unknown) => void;
  now?: () => number;
}

/**
 * Where files were cut along their syntax, by their content: a re-index parses only what has changed, and a first run, which reads its
 * source twice, parses once. A SQLite file of some 150 bytes a chunk. Several processes may share it; deleting it costs time and nothing else.
 *
 * It never throws: where it breaks (disk full, file damaged) every look is a miss from then on. Only a damaged file is deleted: others may use
 * a whole one.
 */
export class SpanCache {
  readonly #file: string;
  readonly #options: SpanCacheOptions;
  #database: DatabaseSync | null = null;
  #look: StatementSync | null = null;
  /** As of the start: later there may be another version of the code on the disk than the one that runs. */
  #codeVersion = '';
  /** To be written: spans, or null where it is only to be kept for longer. */
  readonly #pending = new Map<string, string | null>();
  #timer: NodeJS.Timeout | null = null;
  #prunedOn = -Infinity;

  private constructor(file: string, options: SpanCacheOptions) {
    this.#file = file;
    this.#options = options;
  }

  /** @param file where the cache is, or will be. A damaged one is made anew. */
  static open(file: string, options: SpanCacheOptions): SpanCache {
    const cache = new SpanCache(file, options);
    try {
      cache.#codeVersion = hashOfSources(import.meta.dirname);
      mkdirSync(dirname(file), { recursive: true });
      cache.#database = openWhole(file);
      cache.#look = cache.#database.prepare('SELECT spans, used FROM spans WHERE key = ?');
    } catch (error) {
      cache.#break(error);
    }
    cache.#prune();
    return cache;
  }

  /** @param decides what else decides where the text is cut. */
  keyOf(text: string, decides: readonly (string | number)[]): string {
    const hash = createHash('sha256').update(JSON.stringify([this.#codeVersion, ...decides]));
    return hash.update(text).digest('hex').slice(0, 32);
  }

  /** @param key as {@link keyOf} makes it. */
  get(key: string): Span[] | null {
    const pending = this.#pending.get(key);
    if (typeof pending === 'string') return JSON.parse(pending) as Span[];
    return (
      this.#try(() => {
        const row = this.#look?.get(key);
        if (!row) return null;
        if (this.#today() - Number(row['used']) >= NOTED_AFTER_DAYS) this.#write(key, null);
        return JSON.parse(row['spans'] as string) as Span[];
      }) ?? null
    );
  }

  put(key: string, spans: readonly Span[]): void {
    this.#write(key, JSON.stringify(spans));
  }

  close(): void {
    this.flush();
    this.#database?.close();
    this.#database = null;
  }

  #write(key: string, spans: string | null): void {
    if (!this.#database) return;
    this.#pending.set(key, spans);
    if (this.#pending.size >= FLUSH_ENTRIES) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref();
  }

  /** Writes what has been put, and forgets what is old; done by itself within a second. */
  flush(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const today = this.#today();
    this.#try((database) => {
      database.exec('BEGIN IMMEDIATE');
      try {
        const put = database.prepare('INSERT OR REPLACE INTO spans (key, used, spans) VALUES (?, ?, ?)');
        const keep = database.prepare('UPDATE spans SET used = ? WHERE key = ?');
        for (const [key, spans] of this.#pending) {
          if (spans === null) keep.run(today, key);
          else put.run(key, today, spans);
        }
        database.exec('COMMIT');
      } catch (error) {
        if (database.isTransaction) database.exec('ROLLBACK');
        throw error;
      }
    });
    this.#pending.clear();
    this.#prune();
  }

  /** Once a day. */
  #prune(): void {
    const today = this.#today();
    if (this.#prunedOn === today) return;
    this.#prunedOn = today;
    this.#try((database) => database.prepare('DELETE FROM spans WHERE used < ?').run(today - KEPT_DAYS));
  }

  #today(): number {
    return Math.floor((this.#options.now ?? Date.now)() / DAY_MS);
  }

  #try<T>(work: (database: DatabaseSync) => T): T | null {
    if (!this.#database) return null;
    try {
      return work(this.#database);
    } catch (error) {
      if (primaryCode(error) !== BUSY) this.#break(error);
      return null;
    }
  }

  #break(error: unknown): void {
    this.#pending.clear();
    try {
      this.#database?.close();
      if (DAMAGED.has(primaryCode(error))) removeDatabase(this.#file);
    } catch {
      // What cannot be deleted either is met again at the next start.
    }
    this.#database = null;
    this.#options.onFailure(error);
  }
}

function openWhole(file: string): DatabaseSync {
  try {
    return openDatabase(file);
  } catch (error) {
    if (!DAMAGED.has(primaryCode(error))) throw error;
    removeDatabase(file);
    return openDatabase(file);
  }
}

function openDatabase(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: BUSY_MS });
  try {
    // A write that a power failure takes away is a file that is parsed again.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
    database.exec(
      'CREATE TABLE IF NOT EXISTS spans (key TEXT PRIMARY KEY, used INTEGER NOT NULL, spans TEXT NOT NULL) WITHOUT ROWID',
    );
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function removeDatabase(file: string): void {
  for (const end of ['', '-wal', '-shm']) rmSync(file + end, { force: true });
}

/** Extended codes say more in their higher bits. */
function primaryCode(error: unknown): number | undefined {
  const { errcode } = error as { errcode?: number };
  return errcode === undefined ? undefined : errcode & 0xff;
}

/** Of the code that cuts: all of this folder, so that nobody has to remember to raise a number. */
function hashOfSources(folder: string): string {
  const hash = createHash('sha256');
  const files = readdirSync(folder).filter((name) => name.endsWith('.ts'));
  for (const name of files.sort()) hash.update(name).update(readFileSync(join(folder, name)));
  return hash.digest('hex');
}
