import { expect, it } from 'vitest';
import { z } from 'zod';
import { chooseReranker } from '../src/reranker-choice.ts';
import { rerankSettings } from '../src/settings.ts';

const choose = (env: object) => chooseReranker(z.object(rerankSettings).parse(env));
const URL = 'http://127.0.0.1:8000/v1';

it.each([
  ['none, if nothing is said', {}, null],
  ['none, if so said', { RERANKER: 'none', RERANK_URL: URL }, null],
  [
    'a model of a folder',
    { RERANKER: '/models/ranks' },
    { kind: 'cross-encoder', model: '/models/ranks', maxPassages: 50, deadlineMs: 1_000 },
  ],
  [
    'a chat API, if its address is all that is said',
    { RERANK_URL: URL },
    { kind: 'chat', url: URL, model: 'nomic-ai/CodeRankLLM', maxPassages: 100, deadlineMs: 20_000 },
  ],
  [
    'a chat API with all that can be said',
    {
      RERANKER: 'chat',
      RERANK_URL: URL,
      RERANK_API_KEY: 'k',
      RERANK_MODEL: 'm',
      RERANK_CANDIDATES: '30',
      RERANK_DEADLINE_MS: '5000',
    },
    { kind: 'chat', url: URL, apiKey: 'k', model: 'm', maxPassages: 30, deadlineMs: 5_000 },
  ],
])('a deployment has %s', (_what, env, choice) => {
  if (choice === null) expect(choose(env)).toBeNull();
  else expect(choose(env)).toMatchObject(choice);
});

it.each([
  [{ RERANKER: 'chat' }, 'RERANK_URL is not set'],
  [{ RERANKER: '/models/ranks', RERANK_URL: URL }, 'it belongs to RERANKER=chat'],
  [{ RERANK_URL: 'http://me:secret@host' }, 'RERANK_API_KEY is for a key'],
  [{ RERANK_URL: 'ftp://host' }, 'must be a URL'],
  [{ RERANK_CANDIDATES: '101' }, 'from 2 to 100'],
  [{ RERANK_DEADLINE_MS: '0' }, 'from 1 to 600000'],
])('a deployment with %j does not start', (env, why) => {
  expect(() => choose(env)).toThrow(why);
});
