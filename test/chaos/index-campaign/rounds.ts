import type { ProjectState } from './projects.ts';
import type { Seen } from './search-watch.ts';

/** One index run of the campaign. */
export interface Round {
  name: string;
  collection: string;
  mode: 'incremental' | 'full';
  from: Seen;
  to: ProjectState;
}

/** A first run into a new collection, a changed project, a full run back; then the next collection. */
export function roundOf(n: number): Round {
  const collection = `disturbed-${Math.floor(n / 3)}`;
  const rounds = [
    { name: 'first', mode: 'incremental', from: 'nothing', to: 'before' },
    { name: 'changed', mode: 'incremental', from: 'before', to: 'after' },
    { name: 'full', mode: 'full', from: 'after', to: 'before' },
  ] as const;
  return { ...(rounds[n % 3] as (typeof rounds)[number]), collection };
}
