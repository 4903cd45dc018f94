import type { Node } from 'web-tree-sitter';
import { docstringOf } from './docstring.ts';
import { rangeOf, type DocumentedFunction } from './documented-function.ts';

/**
 * The functions of a parsed Python file that have a docstring, in order. Functions inside functions belong to the outer one's
 * code and are not taken by themselves.
 */
export function pythonFunctions(root: Node): DocumentedFunction[] {
  const found: DocumentedFunction[] = [];
  const visit = (node: Node): void => {
    for (const child of node.namedChildren) {
      const definition =
        child.type === 'decorated_definition' ? child.childForFieldName('definition') : child;
      if (definition?.type === 'function_definition') {
        const documented = documentedFunction(child, definition);
        if (documented) found.push(documented);
      } else if (definition?.type === 'class_definition') {
        const body = definition.childForFieldName('body');
        if (body) visit(body);
      } else if (HOLDS_DEFINITIONS.has(child.type)) {
        visit(child);
      }
    }
  };
  visit(root);
  return found;
}

/** Statements under which a module or a class defines things too. */
const HOLDS_DEFINITIONS = new Set([
  'block',
  'if_statement',
  'elif_clause',
  'else_clause',
  'try_statement',
  'except_clause',
  'finally_clause',
  'with_statement',
]);

function documentedFunction(whole: Node, definition: Node): DocumentedFunction | null {
  const name = definition.childForFieldName('name')?.text;
  const body = definition.childForFieldName('body');
  const [first, ...rest] = body?.namedChildren.filter(({ type }) => type !== 'comment') ?? [];
  const literal = first?.type === 'expression_statement' ? first.firstNamedChild : null;
  if (!name || !first || literal?.type !== 'string') return null;
  const doc = docstringOf(literal.text);
  if (doc === null) return null;
  // A function has to hold something: dots stand for the docstring where there was nothing else.
  const cut = { ...rangeOf(first), replacement: rest.length === 0 ? '...' : '' };
  const doesSomething = !rest.every(({ type, text }) => type === 'pass_statement' || text === '...');
  return { name, doc, ...rangeOf(whole), cuts: [cut], doesSomething };
}
