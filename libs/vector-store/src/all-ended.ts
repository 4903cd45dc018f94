/** What all of them give, or the first failure, once none of them is under way any more: a store must not be closed under a search. */
export async function allEnded<T>(work: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}
