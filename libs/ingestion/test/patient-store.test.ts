import { AppError, type ErrorCode } from '@embergate/contracts/errors.ts';
import { watchedStore } from '@embergate/testing/watched-store.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { patientStore } from '../src/patient-store.ts';
import { RunChunks } from '../src/run-chunks.ts';
import { COLLECTION, createRunBench, pythonFiles, type RunBench } from './run-bench.ts';

describe('a run whose store goes away', () => {
  let bench: RunBench;
  beforeEach(async () => void (bench = await createRunBench(pythonFiles(40))));
  afterEach(() => bench.remove());

  /** The real store, of which every call but the first fails once, before or after it has done its work. */
  function flaky(store: VectorStore, code: ErrorCode): VectorStore {
    const failed = new Set<string>();
    let calls = 0;
    return new Proxy(store, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        if (name === 'stamps' || name === 'unembedded')
          return (...args: unknown[]) => Reflect.apply(member, target, args) as unknown;
        return async (...args: unknown[]) => {
          const key = `${String(name)} ${JSON.stringify(args).slice(0, 200)}`;
          const fails = calls++ > 0 && !failed.has(key);
          failed.add(key);
          const outage = new AppError(code, 'away');
          if (fails && calls % 2 === 0) throw outage;
          const answer = await (Reflect.apply(member, target, args) as Promise<unknown>);
          if (fails) throw outage;
          return answer;
        };
      },
    });
  }

  const run = (store: VectorStore, runId: string, signal = new AbortController().signal): Promise<void> =>
    bench.runOn(store, runId, { signal });

  const outages = ['store_down', 'storage_full'] as const;
  it.each(outages)('waits while it says %s, goes on where it was, and embeds nothing twice', async (code) => {
    const waits: (string | null)[] = [];
    const store = patientStore(flaky(bench.store, code), {
      signal: new AbortController().signal,
      onWaiting: (failure) => waits.push(failure?.code ?? null),
      firstPauseMs: 1,
    });
    await run(store, 'one');
    expect(await bench.visibleCount()).toBe(40);
    expect(new Set(bench.embedded).size).toBe(bench.embedded.length);
    expect(waits.filter((said) => said === code).length).toBeGreaterThan(5);
    expect(waits.filter((said) => said === null)).toHaveLength(waits.length / 2);
  });

  it('waits while a key is refused that has written before', async () => {
    let writes = 0;
    const waits: (string | null)[] = [];
    const rotated = watchedStore(bench.store, {
      upsertRows: async (collection, rows) => {
        if (++writes === 2) throw new AppError('store_denied', 'not this key');
        await bench.store.upsertRows(collection, rows);
      },
    });
    const store = patientStore(rotated, {
      signal: new AbortController().signal,
      onWaiting: (failure) => waits.push(failure?.code ?? null),
      firstPauseMs: 1,
    });
    await run(store, 'one');
    expect(waits).toEqual(['store_denied', null]);
    expect(await bench.visibleCount()).toBe(40);
  });

  it('is not waited for without space where what takes it is a copy that can be given up', async () => {
    const store = patientStore(flaky(bench.store, 'storage_full'), {
      signal: new AbortController().signal,
      onWaiting: () => expect.unreachable(),
      waitsForSpace: false,
    });
    await expect(run(store, 'one')).rejects.toMatchObject({ code: 'storage_full' });
  });

  it.each(['store_denied', 'space_mismatch', 'collection_foreign', 'store_refused'] as const)(
    'ends at once with %s, which no waiting helps',
    async (code) => {
      const store = patientStore(flaky(bench.store, code), {
        signal: new AbortController().signal,
        onWaiting: () => expect.unreachable(),
      });
      await expect(run(store, 'one')).rejects.toMatchObject({ code });
    },
  );

  it('does not wait when it is cancelled', async () => {
    const cancel = new AbortController();
    const away = watchedStore(bench.store, {
      listRuns: () => Promise.reject(new AppError('store_down', 'away')),
    });
    const store = patientStore(away, {
      signal: cancel.signal,
      onWaiting: (failure) => failure && cancel.abort('cancelled'),
    });
    await expect(run(store, 'one', cancel.signal)).rejects.toThrow();
  });

  it('reads the rows of a repo from the beginning where it broke in the middle', async () => {
    await bench.run('one');
    let broken = false;
    const breaking = watchedStore(bench.store, {
      stamps: async function* (...args) {
        for await (const page of bench.store.stamps(...args)) {
          yield page.slice(0, 10);
          if (!broken) {
            broken = true;
            throw new AppError('store_down', 'away');
          }
          yield page.slice(10);
        }
      },
    });
    const patience = { signal: new AbortController().signal, onWaiting: () => undefined, firstPauseMs: 1 };
    const chunks = new RunChunks({
      collection: COLLECTION,
      repo: 'sample',
      runId: 'two',
      mode: 'incremental',
    });
    await chunks.read(patientStore(breaking, patience));
    expect(broken).toBe(true);
    // Nothing has been found of them, so all are stale; those that were read twice are so once.
    expect([...chunks.staleIds()]).toHaveLength(40);
  });

  it('lets go of what it reads as soon as it has read enough, so that no connection stays open', async () => {
    let [opened, closed] = [0, 0];
    const counting = watchedStore(bench.store, {
      unembedded: async function* (...args) {
        opened += 1;
        try {
          yield* bench.store.unembedded(...args);
        } finally {
          closed += 1;
        }
      },
    });
    const patience = { signal: new AbortController().signal, onWaiting: () => undefined };
    await run(patientStore(counting, patience), 'one');
    expect(opened).toBeGreaterThan(0);
    expect(closed).toBe(opened);
  });
});
