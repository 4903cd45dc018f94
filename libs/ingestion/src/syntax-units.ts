import type { Node } from 'web-tree-sitter';
import { definitionOf } from './definitions.ts';
import type { Definition } from './definitions.ts';
import type { Grammar } from './grammars.ts';
import type { SourceLines } from './source-lines.ts';
import type { Rows } from './windows.ts';

/** Neighbouring syntax nodes that share rows, with the comments above them: the smallest thing that is cut off whole. */
export interface Unit extends Rows {
  nodes: Node[];
  definition: Definition | null;
  /** The first row that is not a leading comment. */
  ownFirst: number;
}

export interface UnitsOptions extends Rows {
  grammar: Grammar;
  /** Inside a function blocks stay whole, and constants are only statements. */
  insideFunction: boolean;
}

/** Transparent nodes inside each other that are opened at once. */
const MAX_OPENED = 20;

/**
 * Cuts the rows `first` to `last` into units at the rows where a child of `parents` begins. Together the units cover
 * all rows but blank ones: what stands before the first child is a unit of its own (a class's or function's head), what
 * stands between two children (closing braces, mostly) goes with the one above.
 */
export function unitsOf(parents: Node[], source: SourceLines, options: UnitsOptions): Unit[] {
  const units: Unit[] = [];
  for (const { node, first } of childrenOf(parents, options)) {
    if (first > options.last) break;
    const above = units.at(-1);
    const last = lastRow(node);
    if (above && (first <= above.last || followsCloser(node, source))) {
      above.nodes.push(node);
      above.last = Math.max(above.last, last);
      above.definition ??= definition(node, options);
    } else {
      const ownFirst = node.startPosition.row;
      units.push({ first, last, nodes: [node], definition: definition(node, options), ownFirst });
    }
  }
  return stretched(withLeading(units, options.grammar), source, options);
}

/** True for the comment in `} // namespace net`. */
function followsCloser(node: Node, source: SourceLines): boolean {
  const { row, column } = node.startPosition;
  const start = source.start(row);
  return /^\s*[})\]][\s})\];,]*$/.test(source.text.slice(start, start + Math.min(column, 200)));
}

interface Child {
  node: Node;
  /** The node's first row, or that of the opened node which it is the first child of (`try:`, `else:`). */
  first: number;
}

function childrenOf(parents: Node[], options: UnitsOptions): Child[] {
  const children: Child[] = [];
  const add = (parent: Node, depth: number, from: number): void => {
    const body = parent.childForFieldName('body')?.id;
    let first = from;
    for (const node of parent.namedChildren) {
      const row = Math.min(first, node.startPosition.row);
      const opens = node.id === body || (!options.insideFunction && isTransparent(node, options.grammar));
      if (!opens || depth >= MAX_OPENED || !spansRows(node)) {
        children.push({ node, first: row });
      } else {
        const above = children.at(-1);
        const standsFree = node.id !== body && (!above || lastRow(above.node) < row);
        add(node, depth + 1, standsFree ? row : first);
      }
      first = Infinity;
    }
  };
  for (const parent of parents) {
    if (spansRows(parent) || parents.length === 1) add(parent, 0, Infinity);
  }
  return children;
}

const isTransparent = (node: Node, grammar: Grammar): boolean => grammar.transparent.includes(node.type);

const spansRows = (node: Node): boolean => node.endPosition.row > node.startPosition.row;

/** Some nodes (comments, preprocessor lines) take their line ending in and so end at column 0 of the next row. */
function lastRow(node: Node): number {
  const { row, column } = node.endPosition;
  return column === 0 && row > node.startPosition.row ? row - 1 : row;
}

function definition(node: Node, options: UnitsOptions): Definition | null {
  const found = definitionOf(node, options.grammar);
  return found?.kind === 'constant' && options.insideFunction ? null : found;
}

/** Puts comments and attributes into the unit that begins on the very next row. */
function withLeading(units: Unit[], grammar: Grammar): Unit[] {
  const joined: Unit[] = [];
  for (const unit of units) {
    const above = joined.at(-1);
    if (above && above.last + 1 === unit.first && isLeading(above, grammar)) {
      const first = above.first;
      joined[joined.length - 1] = {
        ...unit,
        first,
        ownFirst: isLeading(unit, grammar) ? first : unit.ownFirst,
      };
    } else {
      joined.push(unit);
    }
  }
  return joined;
}

const isLeading = (unit: Unit, grammar: Grammar): boolean =>
  unit.nodes.every((node) => node.type.endsWith('comment') || grammar.leading.includes(node.type));

/** Extends the units over the rows between them and drops blank rows at their ends. */
function stretched(units: Unit[], source: SourceLines, rows: Rows): Unit[] {
  const head = source.trim(rows.first, (units[0]?.first ?? rows.last + 1) - 1);
  const all = head ? [{ ...head, nodes: [], definition: null, ownFirst: head.first }, ...units] : units;
  return all.map((unit, index) => {
    const end = (all[index + 1]?.first ?? rows.last + 1) - 1;
    return { ...unit, last: source.trim(unit.first, end)?.last ?? unit.last };
  });
}
