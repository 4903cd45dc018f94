import type { Node } from 'web-tree-sitter';

/** Offsets in a source, in UTF-16 code units; `end` is not included. */
export interface Range {
  start: number;
  end: number;
}

export interface Cut extends Range {
  /** Stands in its place. */
  replacement: string;
}

/** A function or method that its authors have described. */
export interface DocumentedFunction extends Range {
  /** Unqualified, as the code names it. */
  name: string;
  /** The description, without what marks it as a comment. */
  doc: string;
  /** Where the description stands. */
  cuts: Cut[];
  /** False for a declaration, and a body of nothing: there is nothing to be found. */
  doesSomething: boolean;
}

export const rangeOf = ({ startIndex, endIndex }: Node): Range => ({ start: startIndex, end: endIndex });
