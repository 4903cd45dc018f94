import type { SkipReason } from './read-source.ts';

/** A path that may be indexed once it has been looked into, or one that is skipped for what it is. */
export interface Candidate {
  /** Relative to the root, with `/` separators. */
  path: string;
  skip?: SkipReason;
}

/** The order of the walk: by UTF-16 code units of the whole path, the same in both modes and in every locale. */
export const byPath = (a: Candidate, b: Candidate): number =>
  a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
