import type { ScoredChunk } from '@embergate/vector-store/store.ts';

/** A file of numbered lines, of which chunks are cut. */
export const linesOf = (name: string, first: number, last: number): string =>
  Array.from({ length: last - first + 1 }, (_, index) => `${name} line ${first + index}`).join('\n');

interface Cut {
  path: string;
  lines: [number, number];
  score: number;
  repo?: string;
  text?: string;
  symbol?: string;
}

export function chunk({
  path,
  lines: [startLine, endLine],
  score,
  repo = 'app',
  text,
  symbol = '',
}: Cut): ScoredChunk {
  return {
    id: `${repo}:${path}:${startLine}-${endLine}`,
    repo,
    path,
    language: 'typescript',
    symbol,
    startLine,
    endLine,
    text: text ?? linesOf(path, startLine, endLine),
    score,
  };
}
export const places = (results: readonly { path: string; startLine: number; endLine: number }[]): string[] =>
  results.map(({ path, startLine, endLine }) => `${path}:${startLine}-${endLine}`);
export const paths = (results: readonly { path: string }[]): string[] => results.map(({ path }) => path);
