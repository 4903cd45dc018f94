import type { EmbergateClient } from '@embergate/client/client.ts';
import { AppError } from '@embergate/contracts/errors.ts';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { checkOut, readHistory } from './commits.ts';
import { readCorpus, sampleCorpus, type CorpusFile } from './corpus.ts';
import { withIndexedFolder } from './indexed-corpus.ts';
import { readQueryFile } from './query-file.ts';
import type { Question } from './question.ts';

export const TASKS = ['functions', 'commits', 'queries'] as const;
export type Task = (typeof TASKS)[number];

export interface TaskOptions {
  source: string;
  limit: number;
  seed: number;
  offset: number;
  /** The one to make; of `queries`, the one that is asked. */
  collection: string;
  workDir: string;
  keep: boolean;
  /** Functions in files of plain text: cut by lines and without symbols, to see what chunks along the syntax bring. */
  plainText: boolean;
  signal: AbortSignal;
}

/** What is asked, of what. */
export interface Prepared {
  questions: Question[];
  /** For the report, by name. */
  about: Record<string, string | number>;
}

/**
 * Gets questions and an index that answers them, hands over to `use`, and tidies up.
 *
 *   functions   a folder of code: each function by the first sentence of its description, which is not in the index
 *   commits     a git repository: the files that a commit changes by its message, before the commit
 *   queries     a file of graded questions, asked of a collection that is there
 */
export async function withTask<T>(
  client: EmbergateClient,
  task: Task,
  options: TaskOptions & { use: (prepared: Prepared) => Promise<T> },
): Promise<T> {
  return TASK_RUNS[task](client, options);
}

type Run = <T>(
  client: EmbergateClient,
  options: TaskOptions & { use: (prepared: Prepared) => Promise<T> },
) => Promise<T>;

const functions: Run = async (client, { source, limit, seed, offset, plainText, use, ...options }) => {
  const all = await readCorpus(source);
  const sample = sampleCorpus(all, { limit, seed, offset });
  const files = plainText ? sample.map(asPlainText) : sample;
  const found = count(all.map(({ questions }) => questions.length));
  if (files.length === 0)
    throw new AppError('usage', `--offset ${offset} leaves none of ${found} functions.`);
  const questions = files.flatMap((file) => file.questions);
  const fill = async (folder: string): Promise<void> => {
    for (const { path, text } of files) {
      const file = join(folder, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, text);
    }
  };
  const namingTheFunction = questions.filter(({ namesFunction }) => namesFunction).length;
  return withIndexedFolder(client, {
    ...options,
    fill,
    files: files.length,
    use: ({ progress }) =>
      use({
        questions,
        about: {
          questions: questions.length,
          found,
          namingTheFunction,
          files: files.length,
          chunks: progress.chunks,
        },
      }),
  });
};

const commits: Run = async (client, { source, limit, offset, use, ...options }) => {
  const { parent, questions } = await readHistory(source, { limit, offset });
  return withIndexedFolder(client, {
    ...options,
    fill: (folder) => checkOut(source, parent, folder),
    files: 1,
    use: ({ progress: { files, chunks } }) =>
      use({ questions, about: { questions: questions.length, parent, files, chunks } }),
  });
};

const queries: Run = async (_client, { source, limit, offset, use }) => {
  const all = await readQueryFile(source);
  const questions = all.slice(offset, offset + limit);
  if (questions.length === 0)
    throw new AppError('usage', `--offset ${offset} leaves none of ${all.length} questions.`);
  return use({ questions, about: { questions: questions.length } });
};

const TASK_RUNS: Record<Task, Run> = { functions, commits, queries };

/** The same file under a name that says nothing of its language. */
const asPlainText = (file: CorpusFile): CorpusFile => ({
  ...file,
  path: `${file.path}.txt`,
  questions: file.questions.map((question) => ({
    ...question,
    relevant: question.relevant.map((one) => ({ ...one, path: `${one.path}.txt` })),
  })),
});

const count = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0);
