import { AppError } from '@embergate/contracts/errors.ts';
import { collectionNameSchema, repoNameSchema } from '@embergate/contracts/http-search.ts';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { Question } from './question.ts';

/** `src/retry.ts` or, where only some lines are meant, `src/retry.ts:10-42` or `src/retry.ts:10`. */
const PLACE = /^(.+?)(?::(\d{1,9})(?:-(\d{1,9}))?)?$/s;

/** One line of a query file. */
const lineSchema = z.strictObject({
  query: z.string().refine((query) => query.trim() !== '', 'must not be empty'),
  /** Asked instead of the collection that the command names. */
  collection: collectionNameSchema.optional(),
  /** Searched alone, and where the paths are. */
  repo: repoNameSchema.optional(),
  relevant: z
    .array(
      z.strictObject({
        path: z.string().min(1),
        repo: repoNameSchema.optional(),
        grade: z.int().min(0).max(3).default(1),
      }),
    )
    .refine((relevant) => relevant.some(({ grade }) => grade > 0), 'needs a grade above 0'),
});

/**
 * Reads questions with graded answers, a JSON document a line. Grades: 0 of no use, 1 helps, 2 good, 3 exactly that.
 * @throws AppError `usage` with the number of the line that is wrong.
 */
export async function readQueryFile(file: string): Promise<Question[]> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new AppError('source_not_found', `The file ${file} cannot be read.`, { cause });
  });
  const questions = text.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return [];
    return [questionOf(line, (why) => new AppError('usage', `${file}, line ${index + 1}: ${why}`))];
  });
  if (questions.length === 0) throw new AppError('usage', `${file} holds no questions.`);
  return questions;
}

function questionOf(line: string, wrong: (why: string) => AppError): Question {
  let document: unknown;
  try {
    document = JSON.parse(line);
  } catch {
    throw wrong('is not JSON.');
  }
  const { data, error } = lineSchema.safeParse(document);
  if (!data) throw wrong(z.prettifyError(error).replace(/\s+/g, ' '));
  const relevant = data.relevant.map(({ path: place, repo, grade }) => {
    const [, path = place, first, last = first] = PLACE.exec(place) ?? [];
    const lines = first === undefined ? {} : { startLine: Number(first), endLine: Number(last) };
    return { path, ...lines, repo: repo ?? data.repo, grade };
  });
  return { query: data.query, collection: data.collection, repo: data.repo, relevant };
}
