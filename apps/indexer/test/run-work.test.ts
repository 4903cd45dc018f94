import type { VectorStore } from '@embergate/vector-store/store.ts';
import { expect, it } from 'vitest';
import { runWork, type RunWorkParts } from '../src/run-work.ts';

it('a job that is cancelled gives back the space of what it wrote, and nobody waits for that', async () => {
  const calls: string[] = [];
  /** A fake store of one run, which is busy with its space for ever. */
  const store = new Proxy({} as VectorStore, {
    get: (_target, name) => async () => {
      calls.push(String(name));
      if (name === 'optimize') await new Promise(() => undefined);
      const run = { id: 'other', state: 'committed' };
      return name === 'listRuns' ? [run] : [{ repo: 'other', chunks: 1 }];
    },
  });
  const source = { type: 'directory', path: '/code' } as const;
  const payload = { source, collection: 'code', repo: 'sample', mode: 'incremental' } as const;
  const task = {
    jobId: 'job-1',
    payload,
    source,
    signal: new AbortController().signal,
    report: () => Promise.resolve(),
    lendPlace: () => undefined,
  };
  const [tell, ignore] = [() => Promise.resolve(), () => undefined];
  const telling = {
    tell,
    tellSoon: ignore,
    onProgress: ignore,
    onWaiting: ignore,
    isPublishing: () => false,
  };
  const work = runWork({ store } as unknown as RunWorkParts, task, { ...telling, store });
  expect(await work.undo()).toBe(true);
  expect(calls).toContain('deleteRows');
  expect(calls.at(-1)).toBe('optimize');
});
