import type { Schemas } from '@qdrant/js-client-rest';
import type { SearchFilter } from '@embergate/contracts/http-search.ts';
import { indexablePart, parsePathGlob } from '@embergate/vector-store/path-glob.ts';
import type { HiddenRuns } from '@embergate/vector-store/visibility.ts';
import { DENSE } from './points.ts';

export const fieldIs = (key: string, value: string): Schemas['FieldCondition'] => ({ key, match: { value } });
export const fieldIn = (key: string, values: string[]): Schemas['FieldCondition'] => ({
  key,
  match: { any: values },
});

const HAS_VECTOR: Schemas['HasVectorCondition'] = { has_vector: DENSE };

/** Of the points that pass a filter those that have a vector, or those that have none yet. */
export function embeddedAmong({ must, must_not }: PointFilter, isEmbedded: boolean): PointFilter {
  return isEmbedded
    ? { must: [...must, HAS_VECTOR], must_not }
    : { must, must_not: [...must_not, HAS_VECTOR] };
}

export interface PointFilter {
  must: Schemas['Condition'][];
  must_not: Schemas['Condition'][];
}

/** Points that a search may see and wants, but for what a glob says beyond an exact path or a folder. */
export function searchFilter(hidden: HiddenRuns, filter: SearchFilter): PointFilter {
  const must: Schemas['FieldCondition'][] = [];
  if (filter.repo !== undefined) must.push(fieldIn('repo', filter.repo));
  if (filter.language !== undefined) must.push(fieldIn('language', filter.language));
  if (filter.path !== undefined) {
    const { path, folder } = indexablePart(parsePathGlob(filter.path));
    if (path !== null) must.push(fieldIs('path', path));
    else if (folder !== '') must.push(fieldIs('folders', folder));
  }
  const mustNot: Schemas['FieldCondition'][] = [];
  if (hidden.addedBy.length > 0) mustNot.push(fieldIn('addedBy', hidden.addedBy));
  if (hidden.removedBy.length > 0) mustNot.push(fieldIn('removedBy', hidden.removedBy));
  return { must, must_not: mustNot };
}
