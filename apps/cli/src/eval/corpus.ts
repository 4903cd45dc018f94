import { AppError } from '@embergate/contracts/errors.ts';
import { GrammarPool } from '@embergate/ingestion/grammar-pool.ts';
import { GRAMMARS, type Grammar } from '@embergate/ingestion/grammars.ts';
import { isGeneratedName, saysGenerated } from '@embergate/ingestion/skip-names.ts';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { extname, relative, sep } from 'node:path';
import { commentedFunctions } from './commented-functions.ts';
import { firstSentence } from './docstring.ts';
import type { DocumentedFunction } from './documented-function.ts';
import { pythonFunctions } from './python-functions.ts';
import { sourceFiles } from './source-files.ts';
import { withoutCuts } from './without-cuts.ts';
import { wordsOf, type Question } from './question.ts';

/** A file as it is indexed: without the descriptions that are asked for. */
export interface CorpusFile {
  path: string;
  text: string;
  questions: FunctionQuestion[];
}

/** A function asked for by the first sentence of its description. */
export interface FunctionQuestion extends Question {
  /** Whether the query holds the function's name as a word: such a question is easy for full text. */
  namesFunction: boolean;
}

export interface SampleOptions {
  /** Questions. */
  limit: number;
  seed: number;
  /** Leaves out files with this many questions of the seed's order: what settings were tuned on. */
  offset: number;
}

/** Longer files are data, or made by a program. */
const MAX_FILE_CHARS = 512 * 1_024;

/**
 * The files of a folder of code that hold described functions, without those descriptions, each with what can be asked of it. A
 * sentence that several functions start with has no single right answer, so none of them is asked for.
 * @throws AppError `source_not_found` where the folder can't be read or has no such function.
 */
export async function readCorpus(folder: string): Promise<CorpusFile[]> {
  const files: CorpusFile[] = [];
  const pool = await GrammarPool.open();
  try {
    for await (const file of sourceFiles(folder)) {
      const grammar = grammarOf(file);
      const source = grammar && (await readFile(file, 'utf8'));
      if (!grammar || !source || source.length > MAX_FILE_CHARS || isMade(file, source)) continue;
      const functions = await pool.withTree(grammar.wasm, source, ({ rootNode }) =>
        grammar.language === 'python'
          ? pythonFunctions(rootNode)
          : commentedFunctions(rootNode, source, grammar),
      );
      const path = relative(folder, file).split(sep).join('/');
      if (functions && functions.length > 0) files.push(fileOf(path, source, functions));
    }
  } finally {
    pool.close();
  }
  const asked = withOneAnswer(files);
  if (asked.length === 0) {
    throw new AppError('source_not_found', `There are no functions with a description in ${folder}.`);
  }
  return asked;
}

/** Whole files in the seed's order, the same on every machine that has the same code, until there are enough questions. */
export function sampleCorpus(
  files: readonly CorpusFile[],
  { limit, seed, offset }: SampleOptions,
): CorpusFile[] {
  const ordered = files
    .map((file) => ({ file, key: createHash('sha256').update(`${seed}:${file.path}`).digest('hex') }))
    .sort((one, other) => (one.key < other.key ? -1 : 1));
  const sample: CorpusFile[] = [];
  let before = 0;
  for (const { file } of ordered) {
    const left = offset + limit - before;
    if (left <= 0) break;
    if (before >= offset) sample.push({ ...file, questions: file.questions.slice(0, left) });
    before += file.questions.length;
  }
  return sample;
}

/** What a program made is not indexed. */
const isMade = (file: string, source: string): boolean => isGeneratedName(file) || saysGenerated(source);

const grammarOf = (file: string): Grammar | undefined =>
  GRAMMARS.find(({ extensions }) => extensions.includes(extname(file).slice(1).toLowerCase()));

function fileOf(path: string, source: string, functions: readonly DocumentedFunction[]): CorpusFile {
  const { text, lineAt } = withoutCuts(
    source,
    functions.flatMap(({ cuts }) => cuts),
  );
  const questions = functions.flatMap((described) => {
    const query = described.doesSomething ? queryOf(described) : null;
    if (query === null) return [];
    const startLine = lineAt(described.start);
    const endLine = lineAt(described.end - 1);
    const namesFunction = wordsOf(query).includes(described.name.toLowerCase());
    return [{ query, relevant: [{ path, startLine, endLine, grade: 1 }], namesFunction }];
  });
  return { path, text, questions };
}

/** The first sentence, without the name that it opens with where that is the custom (`Close closes the file`). */
function queryOf({ name, doc }: DocumentedFunction): string | null {
  const sentence = firstSentence(doc);
  const [first = '', ...rest] = sentence?.split(' ') ?? [];
  return first === name ? firstSentence(rest.join(' ')) : sentence;
}

function withOneAnswer(files: readonly CorpusFile[]): CorpusFile[] {
  const askedBy = new Map<string, number>();
  const asked = ({ query }: Question): string => wordsOf(query).join(' ');
  for (const { questions } of files)
    for (const question of questions) askedBy.set(asked(question), (askedBy.get(asked(question)) ?? 0) + 1);
  return files
    .map((file) => ({ ...file, questions: file.questions.filter((one) => askedBy.get(asked(one)) === 1) }))
    .filter(({ questions }) => questions.length > 0);
}
