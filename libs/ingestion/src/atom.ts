import type { DefinitionKind } from './grammars.ts';
import type { Rows } from './windows.ts';

/** The definition that rows belong to. The file itself has an empty symbol. */
export interface Scope {
  symbol: string;
  kind: DefinitionKind | null;
  signature: string;
  /** The row on which the definition begins, and that on which its leading comments do; -1 for the file. */
  row: number;
  firstRow: number;
}

/**
 * Rows that fit into one chunk and are not cut again.
 * `alone`: a definition of some substance, never merged with a neighbour.
 */
export interface Atom extends Rows {
  scope: Scope;
  definition: Scope | null;
  alone: boolean;
}
