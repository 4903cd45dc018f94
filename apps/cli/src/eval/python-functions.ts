import type { Node } from 'web-tree-sitter';
import { docstringOf } from './docstring.ts';

/** A function or method that has a docstring and does something. */
export interface PythonFunction {
  /** Unqualified, as the code names it. */
  name: string;
  /** The classes around it, outermost first. */
  classes: string[];
  /** 1-based, of the `def` or its first decorator. */
  line: number;
  docstring: string;
  /** Decorators, head and body without the docstring, moved to the left margin. */
  code: string;
}

/**
 * The documented functions of a parsed Python file, in order. Functions inside functions belong to the outer one's code
 * and are not taken by themselves; a body of nothing but `pass` or `...` beside the docstring has nothing to be found.
 */
export function pythonFunctions(root: Node, source: string): PythonFunction[] {
  const found: PythonFunction[] = [];
  const visit = (node: Node, classes: string[]): void => {
    for (const child of node.namedChildren) {
      const definition =
        child.type === 'decorated_definition' ? child.childForFieldName('definition') : child;
      if (definition?.type === 'function_definition') {
        const documented = documentedFunction({ whole: child, definition }, source);
        if (documented) found.push({ ...documented, classes });
      } else if (definition?.type === 'class_definition') {
        const name = definition.childForFieldName('name')?.text ?? '';
        const body = definition.childForFieldName('body');
        if (body) visit(body, [...classes, name]);
      } else if (HOLDS_DEFINITIONS.has(child.type)) {
        visit(child, classes);
      }
    }
  };
  visit(root, []);
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

function documentedFunction(
  { whole, definition }: { whole: Node; definition: Node },
  source: string,
): Omit<PythonFunction, 'classes'> | null {
  const name = definition.childForFieldName('name')?.text;
  const body = definition.childForFieldName('body');
  const [first, ...rest] = body?.namedChildren.filter(({ type }) => type !== 'comment') ?? [];
  const literal = first?.type === 'expression_statement' ? first.firstNamedChild : null;
  if (!name || !first || literal?.type !== 'string') return null;
  if (rest.every(({ type, text }) => type === 'pass_statement' || text === '...')) return null;
  const docstring = docstringOf(literal.text);
  if (docstring === null) return null;
  const before = source.slice(whole.startIndex, first.startIndex).replace(/[ \t]*$/, '');
  const after = source.slice(first.endIndex, whole.endIndex).replace(/^[ \t]*;?[ \t]*\r?\n/, '');
  const code = atLeftMargin(before + after, whole.startPosition.column);
  return { name, line: whole.startPosition.row + 1, docstring, code };
}

/** The first line starts at its `column` already; the others lose as much indentation, as far as they have it. */
function atLeftMargin(code: string, column: number): string {
  return code
    .split('\n')
    .map((line, index) => (index === 0 ? line : line.slice(Math.min(column, line.search(/\S|$/)))))
    .join('\n')
    .trimEnd();
}
