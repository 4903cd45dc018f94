import type { ChunkPlace, SearchResponse } from '@embergate/contracts/http-search.ts';
import pc from 'picocolors';
import { print } from './output.ts';

const SNIPPET_LINES = 4;

const PLACES_SHOWN = 3;

/** Where else a text stands: some of the places, and how many more there are. */
function placesOf(duplicates: readonly ChunkPlace[]): string {
  const shown = duplicates
    .slice(0, PLACES_SHOWN)
    .map(({ repo, path, startLine, endLine }) => `${repo}:${path}:${startLine}-${endLine}`);
  const more = duplicates.length - shown.length;
  return [...shown, ...(more > 0 ? [`${more} more`] : [])].join(', ');
}

/** A search's answer for people. */
export function showSearch(answer: SearchResponse): void {
  for (const warning of answer.warnings) print(pc.yellow(`! ${warning.message}`));
  if (answer.results.length === 0) print('Nothing was found.');
  answer.results.forEach((result, index) => {
    const place = `${result.repo}:${result.path}:${result.startLine}-${result.endLine}`;
    const symbol = result.symbol ? `  ${pc.cyan(result.symbol)}` : '';
    print(`${String(index + 1).padStart(2)}. ${pc.bold(place)}${symbol}  ${pc.dim(result.score.toFixed(3))}`);
    const lines = result.text.split('\n').filter((line) => line.trim() !== '');
    for (const line of lines.slice(0, SNIPPET_LINES)) print(pc.dim(`      ${line.slice(0, 100)}`));
    const also = placesOf(result.duplicates);
    if (also !== '') print(pc.dim(`      also ${also}`));
  });
  const { embedding, timingsMs } = answer;
  const from =
    embedding.tier === 'none'
      ? 'full text only'
      : `${embedding.model} on ${embedding.tier} (${embedding.device})`;
  print(pc.dim(`${answer.results.length} results in ${timingsMs.total.toFixed(0)} ms, ${from}`));
}
