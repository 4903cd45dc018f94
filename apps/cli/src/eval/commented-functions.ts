import { definitionOf } from '@embergate/ingestion/definitions.ts';
import type { Grammar } from '@embergate/ingestion/grammars.ts';
import type { Node } from 'web-tree-sitter';
import { docCommentOf, isDescription } from './doc-comment.ts';
import type { DocumentedFunction } from './documented-function.ts';

/**
 * The functions and methods of a parsed file that a comment right above describes, in order. Functions inside functions belong
 * to the outer one's code and are not taken by themselves.
 */
export function commentedFunctions(root: Node, source: string, grammar: Grammar): DocumentedFunction[] {
  const found: DocumentedFunction[] = [];
  const visit = (node: Node): void => {
    const above: Node[] = [];
    for (const child of node.namedChildren) {
      if (isComment(child)) {
        above.push(child);
        continue;
      }
      // Attributes and decorators may stand between a comment and its function; they belong to it.
      if (grammar.leading.includes(child.type)) {
        above.push(child);
        continue;
      }
      const definition = definitionOf(child, grammar);
      if (definition?.kind === 'function' || definition?.kind === 'method') {
        const documented = documentedFunction(
          { whole: child, inner: definition.node, above },
          source,
          grammar,
        );
        const name = definition.name.slice(definition.name.lastIndexOf('.') + 1);
        if (documented) found.push({ ...documented, name });
      } else {
        visit(child);
      }
      above.length = 0;
    }
  };
  visit(root);
  return found;
}

const isComment = ({ type }: Node): boolean => type.includes('comment');

function documentedFunction(
  { whole, inner, above }: { whole: Node; inner: Node; above: readonly Node[] },
  source: string,
  grammar: Grammar,
): Omit<DocumentedFunction, 'name'> | null {
  const touching = touchingFrom(above, whole);
  const comments = touching.filter((node) => isComment(node) && isDescription(node.text, grammar.language));
  const doc = docCommentOf(
    comments.map(({ text }) => text),
    grammar.language,
  );
  const [first] = touching.filter((node) => !isComment(node));
  if (doc === null) return null;
  const start = Math.min(whole.startIndex, first?.startIndex ?? Infinity);
  const cuts = comments.map(({ startIndex, endIndex }) => ({
    start: startIndex,
    // Some grammars count the end of the line to the comment.
    end: source[endIndex - 1] === '\n' ? endIndex - 1 : endIndex,
    replacement: '',
  }));
  const body = inner.childForFieldName('body');
  return {
    doc,
    start,
    end: whole.endIndex,
    cuts,
    doesSomething: body !== null && (body.namedChildCount > 0 || !body.text.startsWith('{')),
  };
}

/** The last of the nodes that stand line upon line, down to the function. */
function touchingFrom(above: readonly Node[], whole: Node): Node[] {
  const touching: Node[] = [];
  let row = whole.startPosition.row;
  for (const node of [...above].reverse()) {
    const { endPosition } = node;
    const lastRow = endPosition.column === 0 ? endPosition.row - 1 : endPosition.row;
    if (lastRow < row - 1) break;
    touching.unshift(node);
    row = node.startPosition.row;
  }
  return touching;
}
