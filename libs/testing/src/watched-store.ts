import type { VectorStore } from '@embergate/vector-store/store.ts';

/** A store with some of its methods replaced. @param onCall told the name of each method that is called. */
export function watchedStore(
  store: VectorStore,
  replaced: Partial<VectorStore>,
  onCall: (name: string) => void = () => undefined,
): VectorStore {
  return new Proxy(store, {
    get: (target, name) => {
      const member: unknown = Reflect.get(name in replaced ? replaced : target, name);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]) => {
        onCall(String(name));
        return Reflect.apply(member, target, args) as unknown;
      };
    },
  });
}
