import type { ForeignFields } from '@embergate/contracts/adoption.ts';

/*
 * Which field of somebody else's payload says what. A field is named by its way: `metadata.path` is `path` in `metadata`.
 */

type Payload = Record<string, unknown>;
type Role = keyof ForeignFields;

/** Names that mean a role, in the order in which they are believed; case, "_" and "-" don't count. */
const NAMES: Record<Role, string[]> = {
  text: [
    'text',
    'content',
    'code',
    'pagecontent',
    'chunktext',
    'chunk',
    'document',
    'body',
    'snippet',
    'sourcecode',
  ],
  path: ['path', 'filepath', 'relativepath', 'filename', 'file', 'source', 'url', 'uri'],
  repo: ['repo', 'repository', 'reponame', 'repositoryname', 'project'],
  language: ['language', 'lang', 'programminglanguage'],
  symbol: ['symbol', 'qualifiedname', 'symbolname', 'functionname', 'funcname', 'name', 'title'],
  startLine: ['startline', 'linestart', 'fromline', 'lineno', 'line'],
  endLine: ['endline', 'lineend', 'toline', 'endlineno'],
};
const NUMBERS: ReadonlySet<Role> = new Set(['startLine', 'endLine']);
const MAX_DEPTH = 4;
/** A field that fewer of the sampled points have is somebody's exception. */
const LEAST_SHARE = 0.5;
/** What is not called a text and is as long as this is one all the same. */
const LEAST_TEXT = 80;

/** The value at the end of a way. */
export function valueAt(payload: Payload, way: string): unknown {
  return way.split('.').reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), payload);
}

export interface SeenField {
  field: string;
  /** Of how many of the payloads. */
  share: number;
  type: 'text' | 'number' | 'other';
  example: string;
  /** Of its texts. */
  averageLength: number;
}

/** The fields of some payloads, the most usual ones first. */
export function seenFields(payloads: readonly Payload[]): SeenField[] {
  const values = new Map<string, unknown[]>();
  for (const payload of payloads) {
    for (const [field, value] of leaves(payload)) values.set(field, [...(values.get(field) ?? []), value]);
  }
  return [...values]
    .map(([field, found]) => {
      const texts = found.filter((value) => typeof value === 'string');
      const numbers = found.filter((value) => typeof value === 'number');
      return {
        field,
        share: found.length / payloads.length,
        type: texts.length === found.length ? 'text' : numbers.length === found.length ? 'number' : 'other',
        example: typeof found[0] === 'string' ? found[0] : JSON.stringify(found[0]),
        averageLength: texts.reduce((sum, text) => sum + text.length, 0) / Math.max(1, texts.length),
      } as const;
    })
    .sort((one, other) => other.share - one.share || depth(one.field) - depth(other.field));
}

/**
 * Guesses what is not given. The text is the one of a usual name, else the longest one; anything else is left out where no
 * field is called so, or an empty one is given.
 */
export function guessFields(
  seen: readonly SeenField[],
  given: { [role in Role]?: string | undefined },
): Partial<ForeignFields> {
  const fields: Partial<ForeignFields> = {};
  const taken = new Set(Object.values(given));
  for (const role of Object.keys(NAMES) as Role[]) {
    const found =
      given[role] ??
      bestOf(
        role,
        seen.filter(({ field }) => !taken.has(field)),
      );
    if (found === undefined || found === '') continue;
    fields[role] = found;
    taken.add(found);
  }
  return fields;
}

function bestOf(role: Role, seen: readonly SeenField[]): string | undefined {
  const type = NUMBERS.has(role) ? 'number' : 'text';
  const usual = seen.filter((field) => field.share >= LEAST_SHARE && field.type === type);
  const rank = ({ field }: SeenField): number => NAMES[role].indexOf(plain(field));
  const [named] = usual
    .filter((field) => rank(field) >= 0)
    .sort((one, other) => rank(one) - rank(other) || depth(one.field) - depth(other.field));
  if (named !== undefined || role !== 'text') return named?.field;
  const [longest] = [...usual].sort((one, other) => other.averageLength - one.averageLength);
  return longest !== undefined && longest.averageLength >= LEAST_TEXT ? longest.field : undefined;
}

const depth = (field: string): number => field.split('.').length;
/** The last name of a way, as {@link NAMES} has it. */
const plain = (field: string): string => (field.split('.').at(-1) ?? '').toLowerCase().replace(/[_-]/g, '');

function* leaves(payload: Payload, way = '', level = 1): Generator<[string, unknown]> {
  for (const [key, value] of Object.entries(payload)) {
    const field = way === '' ? key : `${way}.${key}`;
    if (isObject(value) && level < MAX_DEPTH) yield* leaves(value, field, level + 1);
    else if (value !== null && value !== undefined) yield [field, value];
  }
}

const isObject = (value: unknown): value is Payload =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
