import type { z } from 'zod';
import { AppError } from './errors.ts';
import type { rerankSettings } from './settings.ts';

/** What a deployment reranks with, how many candidates, and how long it may take within a search. */
export type RerankerChoice = { maxPassages: number; deadlineMs: number } &
  /** A name of the catalog, or a folder. */
  (
    | { kind: 'cross-encoder'; model: string }
    | { kind: 'chat'; url: string; apiKey: string | undefined; model: string }
  );

/** What two cores do of a small model's work in a second is fewer. */
const CROSS_ENCODER = { maxPassages: 50, deadlineMs: 1_000 };
/** As CodeRankLLM was measured by its authors: 19 windows one after the other. */
const LISTWISE = { maxPassages: 100, deadlineMs: 20_000 };
/** The model's name on the hub, which servers give it unless they are told another. */
const DEFAULT_CHAT_MODEL = 'nomic-ai/CodeRankLLM';

/**
 * A chat API where RERANK_URL is set and nothing else is said; null where there is no reranker.
 * Errors: `config_invalid` for settings that do not go together.
 */
export function chooseReranker(config: z.infer<z.ZodObject<typeof rerankSettings>>): RerankerChoice | null {
  const { RERANK_URL: url, RERANK_API_KEY: apiKey } = config;
  const reranker = config.RERANKER ?? (url === undefined ? 'none' : 'chat');
  if (reranker === 'none') return null;
  const isChat = reranker === 'chat';
  if (isChat && url === undefined)
    throw new AppError('config_invalid', 'RERANK_URL is not set: RERANKER=chat needs it.');
  if (!isChat && url !== undefined)
    throw new AppError(
      'config_invalid',
      `RERANK_URL is set, and RERANKER is "${reranker}": it belongs to RERANKER=chat.`,
    );
  const defaults = isChat ? LISTWISE : CROSS_ENCODER;
  const common = {
    maxPassages: config.RERANK_CANDIDATES ?? defaults.maxPassages,
    deadlineMs: config.RERANK_DEADLINE_MS ?? defaults.deadlineMs,
  };
  if (url === undefined) return { ...common, kind: 'cross-encoder', model: reranker };
  return { ...common, kind: 'chat', url, apiKey, model: config.RERANK_MODEL ?? DEFAULT_CHAT_MODEL };
}
