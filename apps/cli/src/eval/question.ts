import type { Judgement } from '@embergate/retrieval/judge.ts';

/** A question with what is known to answer it. */
export interface Question {
  query: string;
  relevant: Judgement[];
  /** Asked of this collection alone, and of this repo. */
  collection?: string | undefined;
  repo?: string | undefined;
}

export const wordsOf = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? [];
