import type { EmbergateClient } from '@embergate/client/client.ts';
import { SEARCH_MODES, type SearchRequest, type SearchResult } from '@embergate/contracts/http-search.ts';
import type { EvalItem } from './corpus.ts';

export type SearchMode = SearchRequest['mode'];

/** What each mode answered to each question, in the order of the questions. */
export type Answers = Record<SearchMode, SearchResult[][]>;

interface AskOptions {
  collection: string;
  /** How many chunks to ask for: a function may be several. */
  limit: number;
  signal: AbortSignal;
  onAnswer: () => void;
}

/** Enough to keep a worker busy, not so many that a small machine queues. */
const QUESTIONS_AT_ONCE = 4;
const DEADLINE_MS = 60_000;

/**
 * Asks every question in every mode. An answer by full text alone in place of vectors would spoil the figures, so it is
 * not allowed; whatever else fails ends the evaluation.
 */
export async function ask(
  client: EmbergateClient,
  items: readonly EvalItem[],
  { collection, limit, signal, onAnswer }: AskOptions,
): Promise<Answers> {
  const answers: Answers = { hybrid: [], dense: [], lexical: [] };
  const stop = new AbortController();
  const queue = items.entries();
  const takeQuestions = async (): Promise<void> => {
    for (const [index, { query }] of queue) {
      for (const mode of SEARCH_MODES) {
        const { results } = await client.search(
          { query, collection, limit, mode, deadlineMs: DEADLINE_MS, degradation: 'same_space' },
          AbortSignal.any([signal, stop.signal]),
        );
        answers[mode][index] = results;
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
