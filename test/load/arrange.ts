// `npm run bench:arrange`: microseconds to make a list for readers out of a search's candidates, on chunks of this
// repository. A dense or lexical search has 100 candidates, a hybrid one up to 200.
import { createChunker } from '@embergate/ingestion/chunk.ts';
import { walkSource } from '@embergate/ingestion/walk.ts';
import { arrange } from '@embergate/retrieval/arrange.ts';
import { diversify } from '@embergate/retrieval/diversify.ts';
import { fold } from '@embergate/retrieval/fold.ts';
import { mergeNeighbours } from '@embergate/retrieval/merge-neighbours.ts';
import type { ScoredChunk } from '@embergate/vector-store/store.ts';
import { fileURLToPath } from 'node:url';

const ROUNDS = 1_000;
const LIMIT = 10;

const chunks: ScoredChunk[] = [];
const chunker = await createChunker({ maxChars: 1_024 });
for await (const file of walkSource(fileURLToPath(new URL('../../libs', import.meta.url)))) {
  if (file.kind !== 'file') continue;
  for (const { language, symbol, startLine, endLine, text } of await chunker.chunk(file)) {
    const id = String(chunks.length);
    chunks.push({ id, repo: 'libs', path: file.path, language, symbol, startLine, endLine, text, score: 0 });
  }
}
chunker.close();

/** As a search finds them: clusters of neighbours here and there, best first. */
function candidates(count: number, round: number): ScoredChunk[] {
  return Array.from({ length: count }, (_, index) => {
    const place = ((round + 1) * 7_919 + Math.floor(index / 4) * 104_729 + (index % 4)) % chunks.length;
    return { ...chunks[place], score: 1 - index / count } as ScoredChunk;
  });
}

function time(name: string, count: number, work: (ranked: ScoredChunk[]) => unknown): void {
  const times = Array.from({ length: ROUNDS }, (_, round) => {
    const ranked = candidates(count, round);
    const startedAt = performance.now();
    work(ranked);
    return (performance.now() - startedAt) * 1_000;
  });
  // The first rounds are the compiler's.
  const sorted = times.slice(ROUNDS / 2).sort((one, other) => one - other);
  const at = (share: number): string => (sorted[Math.floor(share * sorted.length)] ?? 0).toFixed(0);
  console.log(
    `${String(count).padStart(4)} candidates  ${name.padEnd(10)} p50 ${at(0.5)} µs, p99 ${at(0.99)} µs`,
  );
}

console.log(`${chunks.length} chunks`);
for (const count of [100, 200]) {
  time('fold', count, (ranked) => fold(ranked));
  time('diversify', count, (ranked) => diversify(ranked));
  time('merge', count, (ranked) =>
    mergeNeighbours(
      ranked.map((one) => ({ ...one, duplicates: [] })),
      LIMIT,
    ),
  );
  time('arrange', count, (ranked) =>
    arrange(ranked, { limit: LIMIT, fold: true, diversify: true, merge: true }),
  );
}
