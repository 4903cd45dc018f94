import type { AlignmentReference, CanaryText } from '@embergate/contracts/alignment.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import { storedText } from '@embergate/ingestion/stored-text.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import type { CollectionStamp, SampledRow, VectorStore } from '@embergate/vector-store/store.ts';
import type { TextTokens } from '../text-tokens.ts';

export interface AlignmentSourceParts {
  store: Pick<VectorStore, 'listCollections' | 'getCollection' | 'sampleRows'>;
  references: {
    takeTurn: (space: string, ms: number) => Promise<boolean>;
    leaveTurn: (space: string) => Promise<void>;
    publish: (space: string, reference: AlignmentReference, ttlMs: number) => Promise<void>;
    withdraw: (space: string, ttlMs: number) => Promise<void>;
  };
  space: EmbeddingSpace;
  texts: Pick<TextTokens, 'encode'>;
  log: Logger;
}

type Row = SampledRow & { collection: string };

/** Another sample is taken that often; one that nobody renews is of no use any more after three times that. */
const EVERY_MS = 600_000;
const LOOK_MS = 3_000;
const COLLECTIONS = 4;
const ROWS = 256;
const SHORT_CANARIES = 7;
/** Shorter texts say little about a model. */
const LEAST_CHARACTERS = 40;

/**
 * Publishes what the variants of this gateway's space are compared with: a sample of what its collections hold. Of all gateways one does it
 * at a time. While there is no collection with vectors, it says so and looks for one every few seconds. Where rows are there and none of
 * their texts can be told, what was published before stays until it is out of date, and the next look is as far away as after a sample.
 */
export class AlignmentSource {
  readonly #parts: AlignmentSourceParts;
  readonly #spaceId: string;
  #isLooking = false;
  #isFailing = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: AlignmentSourceParts) {
    this.#parts = parts;
    this.#spaceId = spaceId(parts.space);
  }

  start(): void {
    void this.#look();
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const { references, log } = this.#parts;
    try {
      if (await references.takeTurn(this.#spaceId, EVERY_MS)) await this.#publish();
    } catch (error) {
      log.debug({ err: error }, 'a sample of the collections could not be published');
    } finally {
      this.#isLooking = false;
    }
  }

  async #publish(): Promise<void> {
    const { references, log } = this.#parts;
    const rows = await this.#sample().catch((error: unknown) => {
      // Said once, and not every few seconds for as long as a store is away.
      log[this.#isFailing ? 'debug' : 'warn']({ err: error }, 'the collections could not be sampled');
      return null;
    });
    this.#isFailing = rows === null;
    const reference = rows && this.#referenceOf(rows);
    if (reference) return references.publish(this.#spaceId, reference, 3 * EVERY_MS);
    if (rows && rows.length > 0) return;
    if (rows) await references.withdraw(this.#spaceId, 3 * EVERY_MS);
    await references.leaveTurn(this.#spaceId);
  }

  /** Of the collections that can be read. @throws why one cannot, where the others hold nothing either. */
  async #sample(): Promise<Row[]> {
    const { store, log } = this.#parts;
    const failures: unknown[] = [];
    const stamps = await store.listCollections((_name, error) => failures.push(error));
    const some = shuffled(stamps.filter((stamp) => this.#fieldOf(stamp) !== null)).slice(0, COLLECTIONS);
    const perCollection = Math.floor(ROWS / some.length);
    const samples = some.map(async (stamp) => {
      const field = this.#fieldOf(stamp) ?? 'vector';
      const rows = await store.sampleRows(stamp.name, perCollection);
      // It may have moved in between, and the rows be of another space.
      const isStill = this.#fieldOf(await store.getCollection(stamp.name)) === field;
      if (!isStill) return [];
      return rows.flatMap((row) => {
        const vector = row[field];
        return vector ? [{ ...row, vector, collection: stamp.name }] : [];
      });
    });
    const rows: Row[] = [];
    for (const sample of await Promise.allSettled(samples)) {
      if (sample.status === 'fulfilled') rows.push(...sample.value);
      else failures.push(sample.reason);
    }
    if (failures.length === 0) return rows;
    if (rows.length === 0) throw failures[0];
    log.warn({ err: failures[0], collections: failures.length }, 'not every collection could be sampled');
    return rows;
  }

  /** Where a collection keeps vectors of this space; null where it has none. */
  #fieldOf({ space, secondSpace }: CollectionStamp): 'vector' | 'secondVector' | null {
    if (spaceId(space) === this.#spaceId) return 'vector';
    return secondSpace && spaceId(secondSpace) === this.#spaceId ? 'secondVector' : null;
  }

  /** Null where none of the rows' texts can be embedded again. */
  #referenceOf(rows: readonly Row[]): AlignmentReference | null {
    const { space } = this.#parts;
    const chosen = this.#canariesOf(rows);
    if (chosen.length === 0) return null;
    const canaryRows = new Set(chosen.map(({ row }) => row));
    const ordered = [...canaryRows, ...rows.filter((row) => !canaryRows.has(row))];
    const sample = new Float32Array(ordered.length * space.dimensions);
    ordered.forEach(({ vector }, at) => sample.set(vector, at * space.dimensions));
    return { dimensions: space.dimensions, canaries: chosen.map(({ canary }) => canary), sample };
  }

  /** The shortest, as a large model on a CPU takes seconds for a long one, and one of usual length; each text once. */
  #canariesOf(rows: readonly Row[]): { row: Row; canary: CanaryText }[] {
    const { texts } = this.#parts;
    const byHash = new Map(rows.map((row) => [row.embeddedHash, row]));
    const known = [...byHash.values()]
      .map((row) => ({ row, text: storedText(row) ?? '' }))
      .filter(({ text }) => text.length >= LEAST_CHARACTERS)
      .sort((x, y) => x.text.length - y.text.length);
    const usual = known.slice(SHORT_CANARIES).at((known.length - SHORT_CANARIES) / 2);
    return [...known.slice(0, SHORT_CANARIES), ...(usual ? [usual] : [])].map(({ row, text }) => {
      const { ids, prompted } = texts.encode(text, 'document');
      return { row, canary: { collection: row.collection, text: prompted, ids } };
    });
  }
}

const shuffled = <T>(values: readonly T[]): T[] =>
  values
    .map((value) => ({ value, at: Math.random() }))
    .sort((x, y) => x.at - y.at)
    .map(({ value }) => value);
