/** Lines of a file, or the whole file. */
export interface Judgement {
  /** Any repo, where it is not said. */
  repo?: string | undefined;
  path: string;
  /** 1-based, both included. */
  startLine?: number | undefined;
  endLine?: number | undefined;
  /** 0 (of no use) to 3 (exactly that). */
  grade: number;
}

/** Where a result points to. */
interface Place {
  repo: string;
  path: string;
  startLine: number;
  endLine: number;
}

export interface JudgedResult extends Place {
  duplicates: readonly Place[];
}

/** One question's answer as measures see it. */
export interface JudgedAnswer {
  /** Grade of the result at each rank, best first; 0 for what is of no use or was there before. */
  grades: number[];
  /** Rank, from 0, at which each judgement above 0 was first met; Infinity for what was not found. */
  foundAt: number[];
  /** Grades above 0 of all judgements, highest first: what a perfect answer has. */
  ideal: number[];
}

/**
 * Compares an answer with what is known to be right. A result hits a judgement when it, or one of its duplicates, is of that file
 * and shares a line with it. It earns the highest grade among the judgements it is the first to hit; a second
 * result on the same thing earns nothing and still takes a place, as it does on a reader's screen.
 */
export function judge(results: readonly JudgedResult[], judgements: readonly Judgement[]): JudgedAnswer {
  const relevant = judgements.filter(({ grade }) => grade > 0);
  const foundAt = relevant.map(() => Infinity);
  const grades = results.map((result, rank) => {
    let best = 0;
    relevant.forEach((judgement, index) => {
      if (foundAt[index] !== Infinity || !hits(result, judgement)) return;
      foundAt[index] = rank;
      best = Math.max(best, judgement.grade);
    });
    return best;
  });
  const ideal = relevant.map(({ grade }) => grade).sort((one, other) => other - one);
  return { grades, foundAt, ideal };
}

const hits = (result: JudgedResult, judgement: Judgement): boolean =>
  [result, ...result.duplicates].some(
    ({ repo, path, startLine, endLine }) =>
      path === judgement.path &&
      (judgement.repo === undefined || judgement.repo === repo) &&
      startLine <= (judgement.endLine ?? Infinity) &&
      endLine >= (judgement.startLine ?? 0),
  );
