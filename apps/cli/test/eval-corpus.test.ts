import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readCorpus, sampleCorpus } from '../src/eval/corpus.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'eval-corpus-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function write(path: string, text: string): Promise<void> {
  const file = join(folder, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}

const python = (name: string, sentence: string): string =>
  `def ${name}():\n    """${sentence}"""\n    return 1\n`;

test('each documented function becomes a question whose answer is one file under its module and class', async () => {
  await write(
    'http/server.py',
    `class Handler:\n    def send(self):\n        """Send an answer now."""\n        go()\n`,
  );
  await write('io.py', python('read_all', 'Call read_all until the end.'));
  await write('notes.txt', python('no', 'Not a Python file.'));
  expect(await readCorpus(folder)).toEqual([
    {
      query: 'Send an answer now',
      path: 'http/server/Handler/L2.py',
      code: 'def send(self):\n    go()',
      namesFunction: true,
    },
    {
      query: 'Call read_all until the end',
      path: 'io/L1.py',
      code: 'def read_all():\n    return 1',
      namesFunction: true,
    },
  ]);
});

test('tests and other people’s packages are left out', async () => {
  await write('good.py', python('f', 'Do the right thing.'));
  for (const path of ['test/a.py', 'json/tests/b.py', 'site-packages/c.py', 'idlelib/idle_test/d.py']) {
    await write(path, python('g', `Do a thing in ${path.replaceAll('/', ' ')}`));
  }
  expect((await readCorpus(folder)).map(({ path }) => path)).toEqual(['good/L1.py']);
});

test('a sentence that two functions start with has no one right answer and is not asked', async () => {
  await write('a.py', python('f', 'Return the first item.') + python('g', 'Return the last item.'));
  await write('b.py', python('h', 'return the *first* item!'));
  expect((await readCorpus(folder)).map(({ query }) => query)).toEqual(['Return the last item']);
});

test('a file that is not Python inside does not stop the others', async () => {
  await write('broken.py', 'def (((\u0000 class :::\n');
  await write('good.py', python('f', 'Do the right thing.'));
  expect(await readCorpus(folder)).toHaveLength(1);
});

test('a folder without documented functions, or no folder at all, is said by name', async () => {
  await write('empty.py', 'x = 1\n');
  await expect(readCorpus(folder)).rejects.toMatchObject({
    code: 'source_not_found',
    message: expect.stringContaining(folder),
  });
  const missing = join(folder, 'missing');
  await expect(readCorpus(missing)).rejects.toMatchObject({
    code: 'source_not_found',
    message: expect.stringContaining(missing),
  });
});

test('a seed always gives the same questions, another seed others, and an offset goes on where the limit ended', async () => {
  for (let index = 0; index < 30; index++)
    await write(`m${index}.py`, python(`f${index}`, `Do thing number ${index} now.`));
  const corpus = await readCorpus(folder);
  const first = sampleCorpus(corpus, { limit: 10, seed: 1, offset: 0 });
  expect(sampleCorpus([...corpus].reverse(), { limit: 10, seed: 1, offset: 0 })).toEqual(first);
  expect(sampleCorpus(corpus, { limit: 10, seed: 2, offset: 0 })).not.toEqual(first);
  const rest = sampleCorpus(corpus, { limit: 100, seed: 1, offset: 10 });
  expect(new Set([...first, ...rest].map(({ path }) => path)).size).toBe(30);
  expect(rest).toHaveLength(20);
});
