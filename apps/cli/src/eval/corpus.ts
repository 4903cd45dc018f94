import { AppError } from '@embergate/contracts/errors.ts';
import { GrammarPool } from '@embergate/ingestion/grammar-pool.ts';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import { firstSentence } from './docstring.ts';
import { pythonFunctions } from './python-functions.ts';

/** One question with one right answer. */
export interface EvalItem {
  query: string;
  /** Where the code lies in the indexed folder. */
  path: string;
  code: string;
  /** Whether the query holds the function's name as a word: such a question is easy for full text. */
  namesFunction: boolean;
}

export interface SampleOptions {
  limit: number;
  seed: number;
  /** Leaves out this many of the seed's order: what settings were tuned on. */
  offset: number;
}

/** Tests, other people's code and files made to be parsed by tests. */
const LEFT_OUT = new Set([
  'test',
  'tests',
  'idle_test',
  'site-packages',
  'dist-packages',
  '__pycache__',
  'fixtures',
]);

/**
 * All questions that a folder of Python code answers: one a function whose docstring starts with a sentence. A sentence
 * that several functions start with has no single right answer, so all of them are left out.
 * @throws AppError `source_not_found` where the folder can't be read or has no such function.
 */
export async function readCorpus(folder: string): Promise<EvalItem[]> {
  const items: EvalItem[] = [];
  const pool = await GrammarPool.open();
  try {
    for await (const file of pythonFiles(folder)) {
      const source = await readFile(file, 'utf8');
      const module = relative(folder, file).split(sep).join('/').replace(/\.py$/, '');
      const functions = await pool.withTree('python', source, (tree) =>
        pythonFunctions(tree.rootNode, source),
      );
      for (const { name, classes, line, docstring, code } of functions ?? []) {
        const query = firstSentence(docstring);
        if (query === null) continue;
        // The line tells namesakes apart; the function's name is left to the code, as in a real repository.
        const path = `${[module, ...classes].join('/')}/L${line}.py`;
        items.push({ query, path, code, namesFunction: wordsOf(query).includes(name.toLowerCase()) });
      }
    }
  } finally {
    pool.close();
  }
  const unique = withOneAnswer(items);
  if (unique.length === 0) {
    throw new AppError('source_not_found', `There are no Python functions with a docstring in ${folder}.`);
  }
  return unique;
}

/** The questions of a seed, the same on every machine that has the same code: ordered by a hash, then cut. */
export function sampleCorpus(items: readonly EvalItem[], { limit, seed, offset }: SampleOptions): EvalItem[] {
  return items
    .map((item) => ({ item, key: createHash('sha256').update(`${seed}:${item.path}`).digest('hex') }))
    .sort((one, other) => (one.key < other.key ? -1 : 1))
    .slice(offset, offset + limit)
    .map(({ item }) => item);
}

async function* pythonFiles(folder: string): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw new AppError('source_not_found', `The folder ${folder} cannot be read.`, { cause });
  });
  for (const entry of entries.sort((one, other) => (one.name < other.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !LEFT_OUT.has(entry.name)) yield* pythonFiles(path);
    else if (entry.isFile() && basename(path).endsWith('.py')) yield path;
  }
}

function withOneAnswer(items: readonly EvalItem[]): EvalItem[] {
  const askedBy = new Map<string, number>();
  const asked = ({ query }: EvalItem): string => wordsOf(query).join(' ');
  for (const item of items) askedBy.set(asked(item), (askedBy.get(asked(item)) ?? 0) + 1);
  return items.filter((item) => askedBy.get(asked(item)) === 1);
}

const wordsOf = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? [];
