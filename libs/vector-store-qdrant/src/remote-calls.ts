import type { QdrantClient } from '@qdrant/js-client-rest';
import { AppError } from '@embergate/contracts/errors.ts';
import type { SearchOptions } from '@embergate/vector-store/store.ts';
import { hiddenRuns, readVisibly, type HiddenRuns } from '@embergate/vector-store/visibility.ts';
import type { Scrolling } from './chunk-points.ts';
import { describeFailure, retrying, toStoreError } from './failures.ts';
import { Pointers } from './pointers.ts';
import { readRunPoints } from './run-points.ts';

/** Requests to the collection of Qdrant that holds a collection's rows: which it is, repeated where that may help, failures as codes. */
export class RemoteCalls {
  readonly reading: QdrantClient;
  readonly writing: QdrantClient;
  readonly pointers: Pointers;
  /** For readings in pages: one page that fails is asked for again, and not the whole reading. */
  readonly scrolling: Scrolling;

  constructor(clients: { reading: QdrantClient; writing: QdrantClient }) {
    this.reading = clients.reading;
    this.writing = clients.writing;
    this.pointers = new Pointers(clients.writing);
    this.scrolling = { scroll: (place, request) => retrying(() => this.reading.scroll(place, request)) };
  }

  /** @param request gets Qdrant's name of the collection, as it was a moment ago. */
  read<T>(collection: string, request: (place: string) => Promise<T>): Promise<T> {
    return this.call(collection, async () => {
      try {
        return await request(await this.pointers.placeForReading(collection));
      } catch (error) {
        if (describeFailure(error).status !== 404) throw error;
        // It may have been dropped and made anew, without a pointer.
        return request(await this.pointers.placeOf(collection));
      }
    });
  }

  /** For writes, and for what is read to write by it. @param request gets Qdrant's name of the collection, as it is now. */
  write<T>(collection: string, request: (place: string) => Promise<T>): Promise<T> {
    return this.call(collection, async () => request(await this.pointers.placeOf(collection)));
  }

  /** Rows and the runs that hide some of them, as of one moment. */
  readVisible<T>(
    collection: string,
    read: (place: string, hidden: HiddenRuns) => Promise<T>,
    how?: Pick<SearchOptions, 'asIfCommitted' | 'onAsOf'>,
  ): Promise<T> {
    return this.read(collection, (place) =>
      readVisibly(
        () => this.hidden(collection),
        (hidden) => read(place, hidden),
        how,
      ),
    );
  }

  async hidden(collection: string): Promise<HiddenRuns> {
    return hiddenRuns(await readRunPoints(this.reading, collection));
  }

  /** @param collection the one that a 404 speaks of. */
  async call<T>(collection: string | null, request: () => Promise<T>): Promise<T> {
    try {
      return await retrying(request);
    } catch (error) {
      throw toStoreError(error, collection);
    }
  }

  /** Pages of a long reading, by which something is written; what fails between them is a failure of the store too. */
  async *pages<T>(collection: string, open: (place: string) => AsyncIterable<T>): AsyncGenerator<T> {
    const place = await this.call(collection, () => this.pointers.placeOf(collection));
    try {
      yield* open(place);
    } catch (error) {
      throw error instanceof AppError ? error : toStoreError(error, collection);
    }
  }
}
