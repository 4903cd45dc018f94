import { afterAll, beforeAll, beforeEach, describe } from 'vitest';
import { describeCollections } from './conformance/collections.ts';
import type { Stores } from './conformance/context.ts';
import { describeFilters } from './conformance/filters.ts';
import { describeReading, describeScale } from './conformance/reading.ts';
import { describeRuns } from './conformance/runs.ts';
import { space } from './conformance/samples.ts';
import { describeDenseSearch, describeLexicalSearch } from './conformance/search.ts';
import { describeSecondSpace } from './conformance/second-space.ts';
import { describeSuccessors } from './conformance/successors.ts';
import { describeUnembedded } from './conformance/unembedded.ts';
import type { VectorStore } from './store.ts';

/** One storage that several stores open, as the processes of a deployment do. */
export interface VectorStoreFixture {
  open(): Promise<VectorStore>;
  /** Called at the end, when all stores are closed. */
  remove(): Promise<void>;
}

/**
 * The suite that every adapter of the port passes; import it in a test file of the adapter and call it there.
 * All writes go through one store and nearly all reads through another.
 */
export function describeVectorStore(name: string, createFixture: () => Promise<VectorStoreFixture>): void {
  describe(`${name} as a vector store`, () => {
    const stores = {} as Stores;
    let fixture: VectorStoreFixture;

    beforeAll(async () => {
      fixture = await createFixture();
      stores.writer = await fixture.open();
      stores.reader = await fixture.open();
    });
    beforeEach(async () => {
      for (const { name } of await stores.writer.listCollections()) await stores.writer.dropCollection(name);
      await stores.writer.ensureCollection('default', space);
    });
    afterAll(async () => {
      await stores.writer.close();
      await stores.reader.close();
      await fixture.remove();
    });

    describeCollections(stores, () => fixture.open());
    describeRuns(stores);
    describeSecondSpace(stores);
    describeSuccessors(stores);
    describeUnembedded(stores);
    describeDenseSearch(stores);
    describeLexicalSearch(stores);
    describeFilters(stores);
    describeReading(stores);
    describeScale(stores);
  });
}
