import { GrammarPool } from '@embergate/ingestion/grammar-pool.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { docstringOf, firstSentence } from '../src/eval/docstring.ts';
import { pythonFunctions, type PythonFunction } from '../src/eval/python-functions.ts';

let pool: GrammarPool;
beforeAll(async () => {
  pool = await GrammarPool.open();
});
afterAll(() => pool.close());

async function functionsOf(source: string): Promise<PythonFunction[]> {
  const found = await pool.withTree('python', source, (tree) => pythonFunctions(tree.rootNode, source));
  return found ?? [];
}

describe('what is indexed', () => {
  test('a function is taken without its docstring, and nothing else is lost', async () => {
    const source = [
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
    ].join('\n');
    expect(await functionsOf(source)).toEqual([
      {
        name: 'first',
        classes: [],
        line: 3,
        docstring: 'Say where something lies.\n\n    More about it.\n    ',
        code: [
          'def first(path: str,',
          '          deep=False) -> str:',
          '    # A comment that stays.',
          '',
          '    return os.path.join(path, "x")',
        ].join('\n'),
      },
    ]);
  });

  test('a method comes with its decorators, at the left margin, and knows its classes', async () => {
    const source = [
      'class Outer:',
      '    class Inner(Base):',
      '        @property',
      '        def size(self):',
      "            'How many there are.'",
      '            text = """',
      'not indented',
      '            """',
      '            return len(text)',
    ].join('\n');
    const [method] = await functionsOf(source);
    expect(method).toMatchObject({ name: 'size', classes: ['Outer', 'Inner'], line: 3 });
    expect(method?.code).toBe(
      [
        '@property',
        'def size(self):',
        '    text = """',
        'not indented',
        '    """',
        '    return len(text)',
      ].join('\n'),
    );
  });

  test('functions under if and try are found; those inside functions belong to the outer one', async () => {
    const source = [
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
    ].join('\n');
    expect((await functionsOf(source)).map(({ name }) => name)).toEqual(['slow', 'other']);
  });

  test('a function without docstring, or with nothing beside it, is no question', async () => {
    const source = [
      'def bare():',
      '    return 1',
      'def only():',
      '    "Nothing but words in here."',
      'def passing():',
      '    """Nothing but words in here."""',
      '    pass',
      'def dots():',
      '    """Nothing but words in here."""',
      '    ...',
      'def formatted():',
      '    f"No docstring for {Python}."',
      '    return 1',
      'def late():',
      '    x = 1',
      '    "A string, not a docstring."',
      '    return x',
    ].join('\n');
    expect(await functionsOf(source)).toEqual([]);
  });

  test('a docstring on the line of its function leaves a function behind', async () => {
    const [found] = await functionsOf('def f(x): "Double a number at once."; return 2 * x\n');
    expect(found?.docstring).toBe('Double a number at once.');
    expect(found?.code).toMatch(/^def f\(x\):\s*;? ?return 2 \* x$/);
  });

  test('characters outside the basic plane do not shift what is cut', async () => {
    const [found] = await functionsOf(
      'x = "🎈🎈"\ndef f():\n    """Fly a red balloon 🎈."""\n    return "🎈"\n',
    );
    expect(found?.code).toBe('def f():\n    return "🎈"');
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
