/** What a model thinks aloud before its answer. */
const THOUGHTS = /<think>[\s\S]*?(<\/think>|$)/g;
const BRACKETED = /\[\s*(\d{1,6})\s*\]/g;
const BARE = /\d{1,6}/g;

/**
 * The order that an answer such as `[4] > [2] > [1]` names; nothing else of the answer is looked at. Numbers that are no passage's are left
 * out, a repeated one counts where it comes first, and passages that are not named come last, in the order that they had.
 *
 * @param count passages, numbered from 1 in the answer.
 * @returns all positions from 0 to `count - 1`; null where the answer names none of them.
 */
export function readOrder(answer: string, count: number): number[] | null {
  const text = answer.replace(THOUGHTS, '');
  const bracketed = [...text.matchAll(BRACKETED)].map(([, number]) => Number(number));
  const numbers =
    bracketed.length > 0 ? bracketed : [...text.matchAll(BARE)].map(([number]) => Number(number));
  const named = new Set(
    numbers.filter((number) => number >= 1 && number <= count).map((number) => number - 1),
  );
  if (named.size === 0) return null;
  const all = Array.from({ length: count }, (_, at) => at);
  return [...named, ...all.filter((at) => !named.has(at))];
}
