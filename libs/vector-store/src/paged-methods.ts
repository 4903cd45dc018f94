import type { VectorStore } from './store.ts';

type PagedMethod = {
  [Name in keyof VectorStore]: VectorStore[Name] extends (...args: never[]) => AsyncIterable<unknown>
    ? Name
    : never;
}[keyof VectorStore];
/** All of them, or it does not compile: whatever stands before a store must read these, and not await them. */
const PAGED_METHODS = { stamps: true, visibleRows: true, unembedded: true } satisfies Record<
  PagedMethod,
  true
>;

/** Whether a method of a store gives its answer in pages. */
export const isPaged = (name: string | symbol): boolean => Object.hasOwn(PAGED_METHODS, name);
