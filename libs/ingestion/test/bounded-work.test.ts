import { describe, expect, it } from 'vitest';
import { BoundedWork } from '../src/bounded-work.ts';

describe('work that is offered', () => {
  const begun: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<void>>();
  const piece = (name: string) => (): Promise<void> => {
    begun.push(name);
    const end = Promise.withResolvers<void>();
    ends.set(name, end);
    return end.promise;
  };
  const offerAll = (work: BoundedWork, names: string[]): boolean[] => {
    begun.length = 0;
    return names.map((name) => work.offer(piece(name), { mostWaiting: 2 }));
  };
  const end = (name: string): void => ends.get(name)?.resolve();

  it('begins in its order as room comes, and what is more than may wait is not taken', async () => {
    const work = new BoundedWork(2);
    expect(offerAll(work, ['a', 'b', 'c', 'd', 'e'])).toEqual([true, true, true, true, false]);
    expect(begun).toEqual(['a', 'b']);
    end('b');
    await expect.poll(() => begun).toEqual(['a', 'b', 'c']);
    let isDone = false;
    const finished = work.finish().then(() => (isDone = true));
    end('a');
    end('c');
    await expect.poll(() => begun).toEqual(['a', 'b', 'c', 'd']);
    expect(isDone).toBe(false);
    end('d');
    await finished;
  });

  it('is dropped where it waits when something fails, and none is taken after that', async () => {
    const work = new BoundedWork(1);
    offerAll(work, ['a', 'b']);
    ends.get('a')?.reject(new Error('broken'));
    await expect(work.finish()).rejects.toThrow('broken');
    expect(begun).toEqual(['a']);
    expect(work.offer(piece('c'), { mostWaiting: 2 })).toBe(false);
    await work.settled();
    expect(begun).toEqual(['a']);
  });
});
