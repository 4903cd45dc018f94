import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createChunker } from '../src/chunk.ts';
import type { Chunk, Chunker } from '../src/chunk.ts';

let chunker: Chunker;
beforeAll(async () => {
  chunker = await createChunker({ maxChars: 300 });
});
afterAll(() => chunker.close());

const chunk = (path: string, text: string): Promise<Chunk[]> => chunker.chunk({ path, text });

/** Lines of `text` that are in no chunk, ends of chunks that are not where they say, and chunks that are too long. */
function faults(text: string, chunks: Chunk[], maxChars: number): string[] {
  const lines = text.split('\n').map((line) => line.replace(/\r$/, ''));
  const found = lines.map(() => '');
  const faulty: string[] = [];
  for (const { startLine, endLine, text: piece } of chunks) {
    if (piece.length > maxChars) faulty.push(`${piece.length} characters at ${startLine}`);
    if (!text.includes(piece)) faulty.push(`not in the file: ${piece}`);
    for (let line = startLine; line <= endLine; line += 1) found[line - 1] += piece;
  }
  lines.forEach((line, index) => {
    const chars = line.replace(/\s/g, '').length;
    const covered = (found[index] ?? '').replace(/\s/g, '').length;
    if (covered < chars) faulty.push(`line ${index + 1} is not covered`);
  });
  return faulty;
}

const PATHS = [
  'a.ts',
  'a.tsx',
  'a.js',
  'a.py',
  'a.go',
  'a.rs',
  'a.java',
  'a.c',
  'a.cpp',
  'a.cs',
  'a.rb',
  'a.php',
  'a.sh',
  'a.md',
  'a.txt',
];

const token = fc.constantFrom(
  '{',
  '}',
  '(',
  ')',
  '[',
  ']',
  '<',
  '>',
  ';',
  ':',
  ',',
  '.',
  '=',
  '"',
  "'",
  '`',
  '${',
  '//',
  '/*',
  '*/',
  '#',
  '"""',
  'class A',
  'function f',
  'def f():',
  'if x',
  'else',
  'end',
  'return 1',
  'const a =',
  '=>',
  'fn f()',
  'impl A',
  'func f()',
  '@dec',
  '#if A',
  '#endif',
  '<?php',
  '```',
  '# Title',
  '===',
  '---',
  'émoji 😀',
  '\t',
  ' ',
  '    ',
  '\n',
  '\n',
  '\n\n',
  '\r\n',
  'x'.repeat(90),
  '😀'.repeat(40),
);

describe('whatever a file holds', () => {
  test('no line is lost and no chunk is too long', async () => {
    const text = fc.array(token, { maxLength: 150 }).map((tokens) => tokens.join(''));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...PATHS),
        text,
        fc.integer({ min: 20, max: 300 }),
        async (path, source, max) => {
          const small = await createChunker({ maxChars: max });
          try {
            expect(faults(source, await small.chunk({ path, text: source }), max)).toEqual([]);
          } finally {
            small.close();
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('an emoji is never cut in two', async () => {
    const chunks = await chunk('a.txt', 'x' + '😀'.repeat(1_000));
    expect(chunks.map((one) => one.text).join('')).toBe('x' + '😀'.repeat(1_000));
    for (const one of chunks) expect(one.text.isWellFormed()).toBe(true);
  });

  test('a file of blank lines has no chunks', async () => {
    expect(await chunk('a.py', '\n  \n\t\r\n')).toEqual([]);
    expect(await chunk('a.txt', '')).toEqual([]);
  });

  test('the same file gives the same chunks again', async () => {
    const text = Array.from(
      { length: 80 },
      (_, index) => `def f${index}(a):\n    b = a * ${index}\n    c = b\n    return c\n`,
    );
    expect(await chunk('a.py', text.join('\n'))).toEqual(await chunk('a.py', text.join('\n')));
  });
});

describe('a definition that is longer than a chunk', () => {
  const statements = Array.from({ length: 30 }, (_, index) => `    total += weigh(items[${index}])`);
  const python = [
    'class Scale:',
    '    """Weighs."""',
    '',
    '    def weigh_all(self, items):',
    ...statements.map((line) => `    ${line}`),
    '        return total',
  ];

  test('a long method becomes parts of its own name, cut between statements and evenly filled', async () => {
    const parts = (await chunk('scale.py', python.join('\n'))).filter(
      (one) => one.symbol === 'Scale.weigh_all',
    );
    expect(parts.length).toBeGreaterThan(3);
    expect(parts[0]?.startLine).toBe(4);
    expect(parts.at(-1)?.endLine).toBe(python.length);
    for (const part of parts) {
      expect(part.signature).toBe('def weigh_all(self, items)');
      expect(part.text.length).toBeGreaterThan(150);
    }
  });

  test('a statement over several lines stays in one piece', async () => {
    const call = ['        self.report(', '            total,', '            unit="kg",', '        )'];
    const text = [...python.slice(0, 20), ...call, ...python.slice(20)].join('\n');
    const holding = (await chunk('scale.py', text)).filter((one) => /self\.report|unit=/.test(one.text));
    expect(holding).toHaveLength(1);
  });

  test('functions inside a long function have qualified names', async () => {
    const inner = [
      '    def heaviest(items):',
      ...Array.from({ length: 5 }, () => '        items = sorted(items, key=weigh)'),
      '        return items[0]',
    ];
    const text = ['def scale(items):', ...inner, ...statements, '    return total'].join('\n');
    const symbols = new Set((await chunk('scale.py', text)).map((one) => one.symbol));
    expect([...symbols]).toEqual(['scale', 'scale.heaviest']);
  });

  test('methods of a long object literal have the name of the object', async () => {
    const method = (name: string): string[] => [
      `  ${name}(key) {`,
      '    const row = rows.get(key);',
      '    log(row);',
      '    return row;',
      '  },',
    ];
    const names = ['read', 'write', 'remove', 'rename', 'append'];
    const text = ['export const handlers = {', ...names.flatMap(method), '};'].join('\n');
    const symbols = (await chunk('handlers.ts', text)).map((one) => one.symbol);
    expect(symbols).toEqual(expect.arrayContaining(names.map((name) => `handlers.${name}`)));
  });

  test('a long comment above a short function leaves the function whole', async () => {
    const comment = Array.from({ length: 8 }, () => '// Weighs what lies on the scale, twice.');
    const code = [
      'export function weigh(item: Item): number {',
      '  const first = scale(item);',
      '  const second = scale(item);',
      '  return (first + second) / 2;',
      '}',
    ];
    const chunks = await chunk('weigh.ts', [...comment, ...code].join('\n'));
    expect(chunks.map(({ symbol }) => symbol)).toEqual(chunks.map(() => 'weigh'));
    expect(chunks.at(-1)?.text).toBe(code.join('\n'));
  });
});

describe('small neighbours', () => {
  test('imports and one-line functions share a chunk that is called by the functions', async () => {
    const text =
      "import { a } from 'a';\n\nexport const one = () => 1;\nexport const two = () => 2;\nexport const LIMIT = 3;\n";
    const chunks = await chunk('small.ts', text);
    expect(chunks.map(({ symbol, startLine, endLine }) => [symbol, startLine, endLine])).toEqual([
      ['one, two', 1, 5],
    ]);
  });

  test('a few characters above or below a definition do not become a chunk of their own', async () => {
    const method = (name: string): string =>
      `    def ${name}(self):\n        self.count += 1\n        self.log("${name}")\n        return self.count\n`;
    const text = `class Lock:\n    """A lock that counts how often it was taken."""\n\n${method('acquire')}\n    __enter__ = acquire\n\n${method('release')}\n${method('reset')}`;
    const chunks = await chunk('lock.py', text);
    expect(chunks.map((one) => one.symbol)).toEqual(['Lock', 'Lock.acquire', 'Lock.release', 'Lock.reset']);
    expect(chunks[1]?.text).toContain('__enter__ = acquire');
  });
});

describe('what is not code', () => {
  test('text is cut into windows that overlap by a few lines', async () => {
    const lines = Array.from({ length: 40 }, (_, index) => `line ${index} of a log`);
    const chunks = await chunk('server.txt', lines.join('\n'));
    expect(chunks.length).toBeGreaterThan(2);
    for (const [index, next] of chunks.slice(1).entries()) {
      expect(next.startLine).toBeLessThanOrEqual(chunks[index]!.endLine);
      expect(next.startLine).toBeGreaterThan(chunks[index]!.startLine);
    }
  });

  test('Windows line endings stay inside a chunk and count no extra lines', async () => {
    const [only] = await chunk('a.py', 'def f():\r\n    a = 1\r\n    b = 2\r\n    return a\r\n');
    expect(only).toMatchObject({ symbol: 'f', startLine: 1, endLine: 4 });
    expect(only?.text).toBe('def f():\r\n    a = 1\r\n    b = 2\r\n    return a');
  });

  test('a heading inside a code fence is not a section', async () => {
    const chunks = await chunk('a.md', '# A\n\ntext\n\n~~~~\n# not\n```\n# nor\n~~~~\n\n## B\n\ntext\n');
    expect(chunks.map((one) => one.symbol)).toEqual(['A', 'A > B']);
  });
});

describe('hostile files', () => {
  const hostile: [string, string, string][] = [
    ['nested brackets', 'a.ts', '('.repeat(200_000)],
    ['brackets on lines of their own', 'a.js', '[\n'.repeat(50_000)],
    ['template arguments without end', 'a.cpp', 'a<'.repeat(40_000)],
    ['nested conditionals', 'a.h', '#ifdef A\n'.repeat(20_000)],
    [
      'ever deeper blocks',
      'a.py',
      Array.from({ length: 800 }, (_, depth) => `${' '.repeat(depth)}if x:`).join('\n'),
    ],
    [
      'markers of documents without end',
      'a.sh',
      Array.from({ length: 3_000 }, (_, index) => `cat <<E${index}`).join('\n'),
    ],
  ];
  test.each(hostile)('%s are cut all the same, and soon', async (_, path, text) => {
    expect(faults(text, await chunk(path, text), 300)).toEqual([]);
  });

  test('memory stays flat over many files', async () => {
    const definition = (index: number): string =>
      `export function f${index}(a: number) {\n  const b = a + 1;\n  const c = b;\n  return c;\n}\n`;
    const text = Array.from({ length: 600 }, (_, index) => definition(index)).join('\n');
    const grown = async (files: number): Promise<number> => {
      const before = process.memoryUsage.rss();
      for (let index = 0; index < files; index += 1) await chunk('a.ts', text);
      return process.memoryUsage.rss() - before;
    };
    await grown(60);
    // A tree that is not freed costs 2 MB: 200 MB here.
    expect(await grown(100)).toBeLessThan(100 * 1_024 * 1_024);
  });
});
