/**
 * The search filter's glob over a path inside a repo: `*` within a folder, `**` across folders, `?` one character
 * other than `/`. It matches the whole path, with case. Two stars and a slash at the start of a folder also stand for
 * no folder at all, and a glob that ends in a slash means all that lies below. Everything else stands for itself.
 *
 * Stores get it as a regular expression for engines of linear time (Rust's, RE2), or match with
 * {@link matchesPathGlob}. Never make a JavaScript RegExp of it: that one takes exponential time on hostile globs.
 */
export interface PathGlob {
  /** One entry a literal character (code point) or wildcard. */
  steps: Step[];
}

/** `one`: `?`, `segment`: `*`, `any`: `**`, `folders`: `**` and a slash at the start of a folder: none, one or many folders. */
type Step = { kind: 'character'; character: string } | { kind: 'one' | 'segment' | 'any' | 'folders' };

/** Reads a glob; every string is one. Takes time proportional to its length. */
export function parsePathGlob(glob: string): PathGlob {
  const anchored = glob.replace(/^(?:\.?\/)+/, '');
  const pattern = anchored.endsWith('/') ? `${anchored}**` : anchored;
  const steps: Step[] = [];
  for (const [piece] of pattern.matchAll(/\*\*+\/?|\*|[^*]/gsu)) steps.push(...stepsOf(piece, steps.at(-1)));
  return { steps };
}

function stepsOf(piece: string, previous: Step | undefined): Step[] {
  if (piece === '?') return [{ kind: 'one' }];
  if (piece === '*') return [{ kind: 'segment' }];
  if (!piece.startsWith('**')) return [{ kind: 'character', character: piece }];
  if (!piece.endsWith('/')) return [{ kind: 'any' }];
  // Two in a row say no more than one.
  if (previous?.kind === 'folders') return [];
  const atFolderStart =
    previous === undefined || (previous.kind === 'character' && previous.character === '/');
  return atFolderStart ? [{ kind: 'folders' }] : [{ kind: 'any' }, { kind: 'character', character: '/' }];
}

/** Takes at most path length x glob length steps, whatever the two hold. */
export function matchesPathGlob({ steps }: PathGlob, path: string): boolean {
  let active = new Uint8Array(steps.length + 1);
  enter(steps, active, 0);
  for (const character of path) {
    const next = new Uint8Array(steps.length + 1);
    steps.forEach((step, index) => {
      if (active[index] === 1) advance(steps, next, { step, index, character });
    });
    active = next;
  }
  return active[steps.length] === 1;
}

/** Marks a state, and those behind wildcards that may stand for nothing. */
function enter(steps: Step[], states: Uint8Array, from: number): void {
  for (let index = from; states[index] === 0; index++) {
    states[index] = 1;
    const kind = steps[index]?.kind;
    if (kind !== 'segment' && kind !== 'any' && kind !== 'folders') return;
  }
}

function advance(
  steps: Step[],
  next: Uint8Array,
  at: { step: Step; index: number; character: string },
): void {
  const { step, index, character } = at;
  if (step.kind === 'character') {
    if (step.character === character) enter(steps, next, index + 1);
  } else if (step.kind === 'one') {
    if (character !== '/') enter(steps, next, index + 1);
  } else if (step.kind === 'folders' && character !== '/') {
    // In the middle of a folder's name what follows cannot start yet.
    next[index] = 1;
  } else if (step.kind !== 'segment' || character !== '/') {
    enter(steps, next, index);
  }
}

/** The glob as a regular expression in the syntax that Rust's regex crate and RE2 share. */
export function pathGlobRegex({ steps }: PathGlob): string {
  const wildcards = { one: '[^/]', segment: '[^/]*', any: '.*', folders: '(?:.*/)?' };
  const body = steps.map((step) =>
    step.kind === 'character'
      ? step.character.replace(/[\\.+*?()|[\]{}^$#&~-]/, '\\$&')
      : wildcards[step.kind],
  );
  return `(?s)^${body.join('')}$`;
}

/**
 * What an index of exact strings can answer of a glob: `path` when the glob has no wildcard, else `folder`, the
 * innermost folder that all matches lie in (empty: anywhere). `complete`: the glob says no more than that.
 */
export interface PathGlobIndexable {
  path: string | null;
  folder: string;
  complete: boolean;
}

export function indexablePart({ steps }: PathGlob): PathGlobIndexable {
  const wildcard = steps.findIndex((step) => step.kind !== 'character');
  const literal = steps
    .slice(0, wildcard < 0 ? steps.length : wildcard)
    .map((step) => (step.kind === 'character' ? step.character : ''))
    .join('');
  if (wildcard < 0) return { path: literal, folder: '', complete: true };
  const complete =
    wildcard === steps.length - 1 &&
    steps[wildcard]?.kind === 'any' &&
    (literal === '' || literal.endsWith('/'));
  return { path: null, folder: literal.slice(0, Math.max(0, literal.lastIndexOf('/'))), complete };
}

/** The folders a path lies in, outermost first: `src` and `src/http` for `src/http/router.ts`. */
export function foldersOf(path: string): string[] {
  const folders: string[] = [];
  for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
    if (slash > 0) folders.push(path.slice(0, slash));
  }
  return folders;
}
