import type { Atom, Scope } from './atom.ts';
import type { SourceLines } from './source-lines.ts';
import type { Rows } from './windows.ts';

/** Rows that become one chunk, with what they are called. */
export interface Span extends Rows {
  symbol: string;
  kind: string | null;
  signature: string;
}

/** A chunk of many small definitions is called by all of them, up to this length. */
const MAX_JOINED_SYMBOL = 120;
/** Loose rows of at most this size are a scrap. */
const MAX_SCRAP_CHARS = 120;

/** Packs neighbouring atoms that are not `alone` and share a scope into spans of at most `maxChars`, evenly filled. */
export function packAtoms(atoms: Atom[], source: SourceLines, maxChars: number): Span[] {
  const runs = withoutScraps(runsOf(atoms), source, maxChars);
  return runs.flatMap((run) => evenGroups(run, source, maxChars)).map(spanOf);
}

/** Atoms that may be packed together: a lone one by itself, or neighbours of one scope. */
function runsOf(atoms: Atom[]): Atom[][] {
  const runs: Atom[][] = [];
  for (const atom of atoms) {
    const run = runs.at(-1);
    const above = run?.at(-1);
    if (run && above && !atom.alone && !above.alone && above.scope === atom.scope) run.push(atom);
    else runs.push([atom]);
  }
  return runs;
}

/**
 * A few loose characters make a poor chunk: short texts come up for every query. Inside a class, function or module they
 * go with the definition on the very next row (`public:`, `module A`) or with the one above (`__enter__ = acquire`).
 * The file's own stay apart, so that the lines of its definitions are exact.
 */
function withoutScraps(runs: Atom[][], source: SourceLines, maxChars: number): Atom[][] {
  const kept: Atom[][] = [];
  runs.forEach((run, index) => {
    const above = kept.at(-1);
    const below = runs[index + 1];
    const [first] = below ?? [];
    if (!isScrap(run, source)) {
      kept.push(run);
    } else if (below && first && opens(run, first) && fits([...run, first], source, maxChars)) {
      runs[index + 1] = [...run.map((atom) => ({ ...atom, scope: first.scope })), ...below];
    } else if (above && isBelow(run, above) && fits([...above, ...run], source, maxChars)) {
      above.push(...run);
    } else {
      kept.push(run);
    }
  });
  return kept;
}

/** Loose rows, and the bare head of a module; a class's head is worth a chunk of its own. */
function isScrap(run: Atom[], source: SourceLines): boolean {
  const { first, last } = rowsOf(run);
  if (run[0]?.scope.symbol === '' || source.size(first, last) > MAX_SCRAP_CHARS) return false;
  return run.every(
    ({ alone, definition, scope }) =>
      !alone && !names(definition) && (scope.kind === 'module' || !holdsHead(run, scope)),
  );
}

/** True where a run stands right above a definition, or a module's head above that of the first one in it. */
function opens(run: Atom[], below: Atom): boolean {
  const firstInside = run[0]?.scope.kind === 'module' && holdsHead([below], below.scope);
  return rowsOf(run).last + 1 === below.first && (below.alone || firstInside);
}

const isBelow = (run: Atom[], above: Atom[]): boolean =>
  above.some((atom) => atom.alone && atom.scope === run[0]?.scope);

const rowsOf = (run: Atom[]): Rows => ({ first: run[0]?.first ?? 0, last: run.at(-1)?.last ?? 0 });

const fits = (run: Atom[], source: SourceLines, maxChars: number): boolean =>
  source.size(rowsOf(run).first, rowsOf(run).last) <= maxChars;

/**
 * The partition of a run into the fewest groups and, among those, the most even one: the least sum of
 * `1000 + (size / maxChars)^2` over the groups. `best[end]` is that of the first `end` atoms, whose last group starts
 * at `start`.
 */
function evenGroups(run: Atom[], source: SourceLines, maxChars: number): Atom[][] {
  const best = [{ cost: 0, start: 0 }];
  run.forEach((last, index) => {
    let found = { cost: Infinity, start: index };
    for (let start = index; start >= 0; start -= 1) {
      const size = source.size(run[start]?.first ?? 0, last.last);
      // A single atom may be too large: it is one long line, which is cut later.
      if (size > maxChars && start < index) break;
      const cost = (best[start]?.cost ?? 0) + 1_000 + (size / maxChars) ** 2;
      if (cost < found.cost) found = { cost, start };
    }
    best.push(found);
  });
  const groups: Atom[][] = [];
  for (let end = run.length; end > 0; end = best[end]?.start ?? 0)
    groups.push(run.slice(best[end]?.start, end));
  return groups.reverse();
}

const holdsHead = (group: Atom[], scope: Scope): boolean =>
  group.some((atom) => atom.first <= scope.row && scope.firstRow <= atom.last);

type Naming = Omit<Span, keyof Rows>;

function spanOf(group: Atom[]): Span {
  return { ...rowsOf(group), ...namingOf(group) };
}

function namingOf(group: Atom[]): Naming {
  const alone = group.find((atom) => atom.alone)?.definition;
  if (alone) return naming(alone);
  const scope = group[0]?.scope ?? null;
  const named = group.flatMap(({ definition }) => (names(definition) ? [definition] : []));
  const [first] = named;
  if (!first || (scope && holdsHead(group, scope))) return naming(scope);
  return { ...naming(first), symbol: joinedSymbol(named) };
}

const naming = (scope: Scope | null): Naming => ({
  symbol: scope?.symbol ?? '',
  kind: scope?.kind ?? null,
  signature: scope?.signature ?? '',
});

/** Small constants among others don't name a chunk. */
const names = (definition: Scope | null): definition is Scope =>
  definition !== null && definition.kind !== 'constant';

function joinedSymbol(named: Scope[]): string {
  const symbols = [...new Set(named.map((one) => one.symbol))];
  let joined = symbols[0] ?? '';
  for (const symbol of symbols.slice(1)) {
    if (joined.length + symbol.length + 2 > MAX_JOINED_SYMBOL) break;
    joined += `, ${symbol}`;
  }
  return joined;
}
