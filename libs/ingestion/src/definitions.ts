import type { Node } from 'web-tree-sitter';
import type { DefinitionKind, DefinitionRule, Grammar } from './grammars.ts';

/** A named thing in the source: what a chunk's `symbol`, `kind` and `signature` come from. */
export interface Definition {
  /** The node whose children are the definition's parts: a wrapper such as `export` is left behind. */
  node: Node;
  /** Unqualified, or with the receiver's type where the syntax itself names it (`Server.Close` in Go). */
  name: string;
  kind: DefinitionKind;
  signature: string;
}

const MAX_NAME_CHARS = 80;
const MAX_SIGNATURE_CHARS = 240;
/** Wrappers nest: `export` + `const` + declarator, `private` + arguments + `def`. */
const MAX_WRAPPERS = 3;
/** Longer lists of children under a wrapper hold data, not a definition. */
const MAX_WRAPPED_CHILDREN = 8;

const FUNCTION_VALUES = new Set(['arrow_function', 'function_expression', 'generator_function']);

/** The definition that a node is or dresses, or null. */
export function definitionOf(node: Node, grammar: Grammar, wrappers = 0): Definition | null {
  const type = node.type;
  const rule = Object.hasOwn(grammar.definitions, type) ? grammar.definitions[type] : undefined;
  if (rule) return defined(node, rule);
  if (!grammar.wrappers.includes(type) || wrappers >= MAX_WRAPPERS) return null;
  if (node.namedChildCount > MAX_WRAPPED_CHILDREN) return null;
  for (const child of node.namedChildren) {
    const definition = definitionOf(child, grammar, wrappers + 1);
    // The dress is part of what a reader recognises: `export const`, `template <...>`.
    if (definition) return { ...definition, signature: signatureOf(node, definition.node) };
  }
  return null;
}

function defined(node: Node, rule: DefinitionRule): Definition | null {
  if (rule.needsBody && !node.childForFieldName('body')) return null;
  const value = rule.value === undefined ? null : node.childForFieldName(rule.value);
  const kind = value ? (kindOfValue(value, rule) ?? null) : rule.valueDecides ? null : rule.kind;
  if (!kind) return null;
  const name = nameOf(node, rule);
  if (!name) return null;
  const inner = value && kind !== 'constant' ? value : node;
  return { node: inner, name, kind, signature: signatureOf(node, inner) };
}

function kindOfValue(value: Node, rule: DefinitionRule): DefinitionKind | null {
  if (FUNCTION_VALUES.has(value.type)) return rule.kind === 'constant' ? 'function' : rule.kind;
  if (value.type === 'class') return 'class';
  return rule.valueDecides ? null : rule.kind;
}

function nameOf(node: Node, rule: DefinitionRule): string | null {
  const field = rule.name ?? 'name';
  let found = node.childForFieldName(field);
  while (found) {
    // A C++ reference declarator holds its function without a field.
    const inner =
      found.childForFieldName(field) ?? (found.type === 'reference_declarator' ? found.lastNamedChild : null);
    // Only C's declarators nest under the same field; a qualified name keeps its scope.
    if (!inner || field !== 'declarator') break;
    found = inner;
  }
  if (!found) return null;
  const name = cleanName(found.text);
  // `a, b = 1` and `table[key] = value` are statements.
  if (rule.kind === 'constant' && !/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(name)) return null;
  const receiver = rule.receiver === undefined ? null : node.childForFieldName(rule.receiver);
  const type = receiver && /([\p{L}_][\p{L}\p{N}_]*)\s*(?:\[[^\]]*\])?\s*\)$/u.exec(receiver.text)?.[1];
  return type ? `${type}.${name}` : name;
}

/** One name in one notation: generics, quotes and spaces go, `::` becomes `.`. */
function cleanName(text: string): string {
  if (text.length > 2_000) return '';
  const bare = /^operator|\boperator\b/.test(text) ? text : withoutGenerics(text);
  const name = bare
    .replace(/^['"]|['"]$/g, '')
    .replace(/::/g, '.')
    .replace(/\s+/g, '');
  // What is longer is code that a macro made the parser take for a name.
  return name.length <= MAX_NAME_CHARS ? name : '';
}

function withoutGenerics(text: string): string {
  let previous = '';
  let bare = text;
  while (bare !== previous) {
    previous = bare;
    bare = bare.replace(/<[^<>]*>/g, '');
  }
  return bare;
}

/** The text from `outer` up to the body of `inner`, on one line. */
function signatureOf(outer: Node, inner: Node): string {
  const body = inner.childForFieldName('body');
  const length = body && body.startIndex > outer.startIndex ? body.startIndex - outer.startIndex : Infinity;
  const head = outer.text.slice(0, Math.min(length, 4 * MAX_SIGNATURE_CHARS));
  const text = length === Infinity ? (head.split('\n', 1)[0] ?? '') : head;
  return text
    .split('\n')
    .filter((line) => !/^\s*(?:\/\/|#(?!\[))/.test(line))
    .join(' ')
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/\s*(?:[{:=]|=>)$/, '')
    .slice(0, MAX_SIGNATURE_CHARS);
}
