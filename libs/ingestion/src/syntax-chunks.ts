import type { Node } from 'web-tree-sitter';
import type { Atom, Scope } from './atom.ts';
import type { Definition } from './definitions.ts';
import type { DefinitionKind, Grammar } from './grammars.ts';
import { packAtoms } from './pack.ts';
import type { Span } from './pack.ts';
import type { SourceLines } from './source-lines.ts';
import { unitsOf } from './syntax-units.ts';
import type { Unit } from './syntax-units.ts';
import { lineWindows } from './windows.ts';
import type { Rows } from './windows.ts';

export interface SyntaxOptions {
  grammar: Grammar;
  /** UTF-16 code units a chunk may have. */
  maxChars: number;
}

const FILE_SCOPE: Scope = { symbol: '', kind: null, signature: '', row: -1, firstRow: -1 };
/** Definitions of fewer rows are merged with their neighbours. */
const ROWS_OF_SUBSTANCE = 4;
/** Nesting beyond this is data or nonsense, and is cut by lines. */
const MAX_DEPTH = 100;

/**
 * Cuts a parsed file along its syntax. From the root down, a node that fits is an atom; one that does not is replaced by
 * its children; what has no children left is cut by lines. Then neighbouring small atoms of one scope are packed.
 * Every row that is not blank is in exactly one span; a span is larger than `maxChars` only when it is a single row.
 */
export function syntaxSpans(root: Node, source: SourceLines, options: SyntaxOptions): Span[] {
  const all = source.trim(0, source.count - 1);
  if (!all) return [];
  const atoms = atomsOf(
    { nodes: [root], scope: FILE_SCOPE, insideFunction: false, depth: 0, ...all },
    source,
    options,
  );
  return packAtoms(atoms, source, options.maxChars);
}

interface Region extends Rows {
  nodes: Node[];
  scope: Scope;
  insideFunction: boolean;
  depth: number;
}

function atomsOf(region: Region, source: SourceLines, options: SyntaxOptions): Atom[] {
  const units = unitsOf(region.nodes, source, { ...region, grammar: options.grammar });
  return units.flatMap((unit) => unitAtoms({ unit, region }, source, options));
}

function unitAtoms(
  { unit, region }: { unit: Unit; region: Region },
  source: SourceLines,
  options: SyntaxOptions,
): Atom[] {
  const definition = unit.definition && scopeOf(unit.definition, unit.first, region.scope);
  if (source.size(unit.first, unit.last) <= options.maxChars) {
    const alone = definition !== null && unit.last - unit.first + 1 >= ROWS_OF_SUBSTANCE;
    return [{ first: unit.first, last: unit.last, scope: region.scope, definition, alone }];
  }
  const scope = definition ?? region.scope;
  if (definition && commentStandsApart(unit, source, options)) {
    const own: Atom = { first: unit.ownFirst, last: unit.last, scope, definition, alone: true };
    return [...lineAtoms({ first: unit.first, last: unit.ownFirst - 1, scope }, source, options), own];
  }
  const depth = region.depth + 1;
  if (depth > MAX_DEPTH || unit.first === unit.last || !unit.nodes.some((node) => node.namedChildCount > 0)) {
    return lineAtoms({ ...unit, scope }, source, options);
  }
  const nodes = unit.definition ? replaced(unit.nodes, unit.definition.node) : unit.nodes;
  const insideFunction = unit.definition ? isFunction(unit.definition.kind) : region.insideFunction;
  return atomsOf(
    { first: unit.first, last: unit.last, nodes, scope, insideFunction, depth },
    source,
    options,
  );
}

/**
 * A definition that only fits without the comment above it stays whole, and the comment is cut off (both keep the
 * definition's name). Not so a short comment above a class, which has better places to be cut.
 */
function commentStandsApart(unit: Unit, source: SourceLines, { maxChars }: SyntaxOptions): boolean {
  if (unit.ownFirst === unit.first || source.size(unit.ownFirst, unit.last) > maxChars) return false;
  const long = source.size(unit.first, unit.ownFirst - 1) > maxChars / 4;
  return long || (unit.definition !== null && isFunction(unit.definition.kind));
}

const isFunction = (kind: DefinitionKind): boolean => kind === 'function' || kind === 'method';

/** The nodes with a definition in place of the wrapper that holds it. */
function replaced(nodes: Node[], inner: Node): Node[] {
  return nodes.map((node) =>
    node.startIndex <= inner.startIndex && node.endIndex >= inner.endIndex ? inner : node,
  );
}

function scopeOf(definition: Definition, firstRow: number, outer: Scope): Scope {
  const row = definition.node.startPosition.row;
  const { name, kind, signature } = definition;
  // `typedef struct A {...} A`, `const f = function f() {...}`: one thing that the syntax names twice.
  if (row === outer.row) return outer;
  const inType = kind === 'function' && (outer.kind === 'class' || outer.kind === 'interface');
  return {
    symbol: outer.symbol ? `${outer.symbol}.${name}` : name,
    kind: inType ? 'method' : kind,
    signature,
    row,
    firstRow,
  };
}

function lineAtoms(
  { first, last, scope }: Rows & { scope: Scope },
  source: SourceLines,
  options: SyntaxOptions,
): Atom[] {
  return lineWindows(source, { first, last, maxChars: options.maxChars, overlapRows: 0 }).map((window) => ({
    ...window,
    scope,
    definition: null,
    alone: false,
  }));
}
