import type { SearchFilter } from '@embergate/contracts/http-search.ts';
import { indexablePart, parsePathGlob, pathGlobRegex } from '@embergate/vector-store/path-glob.ts';
import type { HiddenRuns } from '@embergate/vector-store/visibility.ts';
import { UNEMBEDDED } from './rows.ts';

/**
 * A string as an SQL literal. LanceDB takes no parameters, so this is the only way a value enters a filter. Its
 * dialect knows one escape, the doubled quote: backslashes, line breaks and all other characters stand for themselves.
 */
export function sqlString(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

/** `column IN (...)`. An empty list matches nothing. */
export function sqlIn(column: string, values: string[]): string {
  return values.length === 0 ? 'false' : `${column} IN (${values.map(sqlString).join(', ')})`;
}

export const WITHOUT_VECTOR = `starts_with(embeddedHash, ${sqlString(UNEMBEDDED)})`;
export const EMBEDDED = `NOT ${WITHOUT_VECTOR}`;

/** All of these conditions; null stands for one that every row meets. Empty where no other is among them. */
export const sqlAll = (conditions: (string | null)[]): string =>
  conditions.filter((condition) => condition !== null).join(' AND ');

/** The condition of rows that a search may see and wants, or null where that is all rows. */
export function searchCondition(hidden: HiddenRuns, filter: SearchFilter): string | null {
  const conditions: string[] = [];
  if (filter.repo !== undefined) conditions.push(sqlIn('repo', filter.repo));
  if (filter.language !== undefined) conditions.push(sqlIn('language', filter.language));
  if (filter.path !== undefined) conditions.push(pathCondition(filter.path));
  if (hidden.addedBy.length > 0) conditions.push(`NOT ${sqlIn('addedBy', hidden.addedBy)}`);
  if (hidden.removedBy.length > 0) {
    // NULL is in no list and not in none either: without the first half, rows that nobody removed would be hidden.
    conditions.push(`(removedBy IS NULL OR NOT ${sqlIn('removedBy', hidden.removedBy)})`);
  }
  return conditions.length === 0 ? null : conditions.join(' AND ');
}

function pathCondition(glob: string): string {
  const parsed = parsePathGlob(glob);
  const { path, folder, complete } = indexablePart(parsed);
  if (path !== null) return `path = ${sqlString(path)}`;
  const inFolder = folder === '' ? 'true' : `starts_with(path, ${sqlString(`${folder}/`)})`;
  return complete ? inFolder : `${inFolder} AND regexp_like(path, ${sqlString(pathGlobRegex(parsed))})`;
}
