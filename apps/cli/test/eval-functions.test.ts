import { GrammarPool } from '@embergate/ingestion/grammar-pool.ts';
import { GRAMMARS } from '@embergate/ingestion/grammars.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commentedFunctions } from '../src/eval/commented-functions.ts';
import { docstringOf, firstSentence } from '../src/eval/docstring.ts';
import type { DocumentedFunction } from '../src/eval/documented-function.ts';
import { pythonFunctions } from '../src/eval/python-functions.ts';
import { withoutCuts } from '../src/eval/without-cuts.ts';

let pool: GrammarPool;
beforeAll(async () => {
  pool = await GrammarPool.open();
});
afterAll(() => pool.close());

/** What is found, and the source without the descriptions. */
async function read(extension: string, lines: string[]) {
  const source = lines.join('\n');
  const grammar = GRAMMARS.find(({ extensions }) => extensions.includes(extension));
  if (!grammar) throw new Error(extension);
  const functions: DocumentedFunction[] =
    (await pool.withTree(grammar.wasm, source, ({ rootNode }) =>
      grammar.language === 'python'
        ? pythonFunctions(rootNode)
        : commentedFunctions(rootNode, source, grammar),
    )) ?? [];
  const { text, lineAt } = withoutCuts(
    source,
    functions.flatMap(({ cuts }) => cuts),
  );
  return {
    text,
    names: functions.map(({ name }) => name),
    docs: functions.map(({ doc }) => doc.trim()),
    asked: functions.filter(({ doesSomething }) => doesSomething).map(({ name }) => name),
    lines: functions.map(({ start, end }) => [lineAt(start), lineAt(end - 1)]),
  };
}

describe('Python', () => {
  test('a docstring goes with its lines, and nothing else is lost', async () => {
    const { text, lines, docs } = await read('py', [
      'import os',
      '',
      'def first(path: str,',
      '          deep=False) -> str:',
      '    # A comment that stays.',
      '    """Say where something lies.',
      '',
      '    More about it.',
      '    """',
      '',
      '    return os.path.join(path, "x")',
      '',
    ]);
    expect(text).toBe(
      [
        'import os',
        '',
        'def first(path: str,',
        '          deep=False) -> str:',
        '    # A comment that stays.',
        '',
        '    return os.path.join(path, "x")',
        '',
      ].join('\n'),
    );
    expect(lines).toEqual([[3, 7]]);
    expect(docs).toEqual(['Say where something lies.\n\n    More about it.']);
  });

  test('a method starts with its decorators, and lies where it is after all cuts above it', async () => {
    const { text, names, lines } = await read('py', [
      'class Outer:',
      '    """A class keeps its own."""',
      '    class Inner(Base):',
      '        def zero(self):',
      "            'Nothing at all here.'",
      '            return 0',
      '        @property',
      '        def size(self):',
      "            'How many there are.'",
      '            return len(self)',
    ]);
    expect(names).toEqual(['zero', 'size']);
    expect(lines).toEqual([
      [4, 5],
      [6, 8],
    ]);
    expect(text.split('\n').slice(5)).toEqual([
      '        @property',
      '        def size(self):',
      '            return len(self)',
    ]);
  });

  test('functions under if and try are found; those inside functions belong to the outer one', async () => {
    const { names } = await read('py', [
      'try:',
      '    import fast',
      'except ImportError:',
      '    def slow():',
      '        "Do it in Python instead."',
      '        def helper():',
      '            "Help a little with it."',
      '            return 1',
      '        return helper()',
      'if posix:',
      '    async def other():',
      '        "Do it in another way."',
      '        await it()',
    ]);
    expect(names).toEqual(['slow', 'other']);
  });

  test('what does nothing is not asked for, and loses its description all the same', async () => {
    const { text, asked } = await read('py', [
      'def bare():',
      '    return 1',
      'def only():',
      '    "Nothing but words in here."',
      'def passing():',
      '    """Nothing but words in here."""',
      '    pass',
      'def formatted():',
      '    f"No docstring for {Python}."',
      '    return 1',
      'def late():',
      '    x = 1',
      '    "A string, not a docstring."',
      '    return x',
    ]);
    expect(asked).toEqual([]);
    expect(text).not.toContain('Nothing but words');
    expect(text).toContain('def only():\n    ...\ndef passing():\n    pass\n');
    expect(text).toContain('not a docstring');
  });

  test('a docstring on the line of its function leaves a function behind', async () => {
    const { text, docs } = await read('py', ['def f(x): "Double a number at once."; return 2 * x', '']);
    expect(docs).toEqual(['Double a number at once.']);
    expect(text).toMatch(/^def f\(x\):\s*;? ?return 2 \* x\n$/);
  });

  test('characters outside the basic plane do not shift what is cut', async () => {
    const { text } = await read('py', [
      'x = "🎈🎈"',
      'def f():',
      '    """Fly a balloon 🎈."""',
      '    return "🎈"',
    ]);
    expect(text).toBe('x = "🎈🎈"\ndef f():\n    return "🎈"');
  });
});

describe('languages that describe above the function', () => {
  test('TypeScript: JSDoc above functions, methods, exports and arrow functions, without its tags', async () => {
    const { text, names, docs, lines } = await read('ts', [
      '/** The licence of it all. */',
      '',
      "import { a } from 'a';",
      '',
      '/**',
      ' * Waits for an {@link Answer} and',
      ' * reads it.',
      ' * @param url where',
      ' */',
      'export async function load(url: string): Promise<void> {',
      '  await a(url);',
      '}',
      '/** A class keeps its own. */',
      'export class Cache {',
      '  // Not a description.',
      '  plain(): void { a(); }',
      '  /** Drops what is oldest. */',
      '  @logged',
      '  evict(): void {',
      '    a();',
      '  }',
      '  /** Is only declared here. */',
      '  declared(): void;',
      '}',
      '/** Doubles a number quickly. */',
      '// eslint-disable-next-line some-rule',
      'export const twice = (x: number): number => 2 * x;',
    ]);
    expect(names).toEqual(['load', 'evict', 'twice']);
    expect(docs).toEqual([
      'Waits for an Answer and\nreads it.',
      'Drops what is oldest.',
      'Doubles a number quickly.',
    ]);
    expect(text).toContain('/** A class keeps its own. */');
    expect(text).not.toMatch(/@param|oldest|quickly/);
    expect(lines[0]).toEqual([5, 7]);
    expect(text.split('\n')[(lines[1]?.[0] ?? 0) - 1]).toBe('  @logged');
    expect(text.split('\n')[(lines[2]?.[0] ?? 0) - 1]).toContain('twice');
  });

  test('Go: the lines right above a function, but not those for the compiler', async () => {
    const { text, names, docs } = await read('go', [
      '// Package a is not about a function.',
      '',
      '// Apart from what follows.',
      '',
      '// Close closes the file.',
      '// It may be called twice.',
      '//',
      '//go:noinline',
      'func (f *File) Close() error {',
      '\treturn f.close()',
      '}',
    ]);
    expect(names).toEqual(['Close']);
    expect(docs).toEqual(['Close closes the file.\nIt may be called twice.']);
    expect(text.split('\n').slice(4)).toEqual([
      '//go:noinline',
      'func (f *File) Close() error {',
      '\treturn f.close()',
      '}',
    ]);
    const plain = await read('go', ['// Open opens it.', '// Twice, too.', 'func Open() { open() }']);
    expect(plain).toMatchObject({
      names: ['Open'],
      docs: ['Open opens it.\nTwice, too.'],
      text: 'func Open() { open() }',
    });
  });

  test('Java, Rust and C#: by the rules of each', async () => {
    const java = await read('java', [
      'class A {',
      '  /** Returns the {@code size} of it.<p>More. */',
      '  @Override',
      '  public int size() { return 1; }',
      '}',
    ]);
    expect(java).toMatchObject({ names: ['size'], docs: ['Returns the size of it.\n\nMore.'] });
    const rust = await read('rs', [
      'impl A {',
      '    /// Parses a line of text.',
      '    ///',
      '    /// # Errors',
      '    #[inline]',
      '    pub fn parse(&self) -> u8 { 1 }',
      '}',
    ]);
    expect(rust.names).toEqual(['parse']);
    expect(rust.docs[0]).toMatch(/^Parses a line of text\./);
    expect(rust.text).toContain('impl A {\n    #[inline]\n    pub fn parse');
    const csharp = await read('cs', [
      'class A {',
      '  /// <summary>Adds one <see cref="T:Item"/> to it.</summary>',
      '  /// <param name="x">no</param>',
      '  public int Add(int x) { return x; }',
      '}',
    ]);
    expect(csharp).toMatchObject({ names: ['Add'], docs: ['Adds one Item to it.'] });
    expect(csharp.text).not.toContain('param');
  });
});

describe('what is asked', () => {
  test.each([
    ['"""Return a copy. It is shallow."""', 'Return a copy'],
    ['"""\n    Return a copy\n    of the list\n\n    and more"""', 'Return a copy of the list'],
    ['"""Use sys.path, e.g. the first entry."""', 'Use sys.path, e.g. the first entry'],
    ["r'''Match \\d once.'''", 'Match \\d once'],
    ["'Don\\'t do this.'", "Don't do this"],
    ['"""Continue \\\nthis line here."""', 'Continue this line here'],
    ['"""Is this the end? Yes."""', 'Is this the end'],
  ])('%s is asked as its first sentence', (literal, query) => {
    expect(firstSentence(docstringOf(literal) ?? '')).toBe(query);
  });

  test.each([
    ['two words', 'See above.'],
    ['an example', '>>> add(1, 2) + 3'],
    ['a text without an end', 'word '.repeat(51)],
    ['nothing', '   \n  '],
  ])('%s is not asked', (_what, docstring) => {
    expect(firstSentence(docstring)).toBeNull();
  });

  test('bytes and f-strings are no docstrings', () => {
    expect(docstringOf('b"Some bytes are here."')).toBeNull();
    expect(docstringOf('f"Some {x} is here."')).toBeNull();
  });
});
