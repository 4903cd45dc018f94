/**
 * Each further result of a file is worth this share of the one before it. Chosen by measurement (docs/benchmarks.md,
 * "Retrieval quality").
 */
const FILE_DECAY = 0.95;

interface Ranked {
  repo: string;
  path: string;
  score: number;
}

/**
 * Orders results so that one file does not crowd out the others: greedily, the next one is that with the most
 *
 * ```
 * value(d) = (score(d) - worst) / (best - worst) * decay ^ (results of d's file before it)
 * ```
 * Nothing is dropped, and a file that is far ahead keeps several places; a fixed number a file would cut those off. The
 * idea of a price for what is there already is that of maximal marginal relevance (Carbonell, Goldstein, SIGIR 1998), with "same
 * file" for similarity. Scores are brought to 0 to 1 first, because cosines, BM25 and a reranker's scores have no zero in common.
 *
 * Within a file the order stays, so only the best left of each file is looked at: n * files steps.
 * @param ranked best first.
 * @returns the same results with their own scores, which then no longer fall all the way down.
 */
export function diversify<T extends Ranked>(ranked: readonly T[], decay: number = FILE_DECAY): T[] {
  const best = ranked[0]?.score ?? 0;
  const span = best - (ranked.at(-1)?.score ?? 0);
  if (span <= 0) return [...ranked];
  const files = filesOf(ranked);
  const worst = best - span;
  const ordered: T[] = [];
  while (ordered.length < ranked.length) {
    let next: FileQueue<T> | undefined;
    let most = -Infinity;
    for (const file of files) {
      const result = file.results[file.taken];
      if (!result) continue;
      const value = ((result.score - worst) / span) * file.weight;
      if (value > most) [next, most] = [file, value];
    }
    const result = next?.results[next.taken];
    if (!next || !result) break;
    ordered.push(result);
    next.taken += 1;
    next.weight *= decay;
  }
  return ordered;
}

/** The results of one file, best first, of which the first `taken` have their place. */
interface FileQueue<T> {
  results: T[];
  taken: number;
  weight: number;
}

function filesOf<T extends Ranked>(ranked: readonly T[]): FileQueue<T>[] {
  const files = new Map<string, FileQueue<T>>();
  for (const result of ranked) {
    const key = JSON.stringify([result.repo, result.path]);
    const file = files.get(key);
    if (file) file.results.push(result);
    else files.set(key, { results: [result], taken: 0, weight: 1 });
  }
  return [...files.values()];
}
