import type { EmbergateClient } from '@embergate/client/client.ts';
import { AppError } from '@embergate/contracts/errors.ts';
import type { SearchResult } from '@embergate/contracts/http-search.ts';
import type { Configuration } from './configuration.ts';
import type { Question } from './question.ts';

/** What a search answered to each question, in the order of the questions. */
export type Answers = SearchResult[][];

interface AskOptions {
  configurations: readonly Configuration[];
  /** Where a question names none. */
  collection: string;
  limit: number;
  signal: AbortSignal;
  onAnswer: () => void;
}

/** Enough to keep a worker busy, not so many that a small machine queues. */
const QUESTIONS_AT_ONCE = 4;
const DEADLINE_MS = 60_000;

/**
 * Asks every question in every configuration. What a search leaves out where it can't do better (vectors, reranking) would spoil the
 * figures: it ends the evaluation, as all that fails.
 * @returns the answers of each configuration, in order.
 */
export async function ask(
  client: Pick<EmbergateClient, 'search'>,
  questions: readonly Question[],
  { configurations, collection, limit, signal, onAnswer }: AskOptions,
): Promise<Answers[]> {
  const answers = configurations.map((): Answers => []);
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const queue = questions.entries();
  const takeQuestions = async (): Promise<void> => {
    for (const [index, question] of queue) {
      for (const [at, { name, request }] of configurations.entries()) {
        const { results, warnings } = await client.search(
          {
            query: question.query,
            collection: question.collection ?? collection,
            ...(question.repo !== undefined && { filter: { repo: [question.repo] } }),
            limit,
            ...request,
            deadlineMs: DEADLINE_MS,
            degradation: 'same_space',
          },
          either,
        );
        const spoiled = warnings.find(({ code }) => spoils(code, request));
        if (spoiled) throw new AppError('invalid_request', `${name} cannot be measured: ${spoiled.message}`);
        const list = answers[at];
        if (list) list[index] = results;
        onAnswer();
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: QUESTIONS_AT_ONCE }, takeQuestions));
  } finally {
    stop.abort();
  }
  return answers;
}

/** Full text alone finds chunks without vectors, too. */
const spoils = (warning: string, { mode }: Configuration['request']): boolean =>
  warning.startsWith('rerank_') || (warning === 'partly_embedded' && mode !== 'lexical');
