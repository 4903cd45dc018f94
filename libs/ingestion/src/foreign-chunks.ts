import type { ForeignFields } from '@embergate/contracts/adoption.ts';
import type { SkippedFile } from '@embergate/contracts/index-job.ts';
import { repoNameSchema } from '@embergate/contracts/http-search.ts';
import type { ForeignPoint } from '@embergate/vector-store/foreign-collections.ts';
import { createHash } from 'node:crypto';
import type { SourceChunk } from './chunk-source.ts';
import { valueAt } from './foreign-fields.ts';
import { languageOf } from './language-of.ts';

/** Far above what any chunker makes. */
const MAX_TEXT = 262_144;
const MAX_PATH = 4_096;
const MAX_SYMBOL = 1_024;
const MAX_LANGUAGE = 64;
const MAX_LINE = 100_000_000;

/** What of a chunk its payload says. */
export type ForeignChunk = Pick<
  SourceChunk,
  'path' | 'language' | 'symbol' | 'startLine' | 'endLine' | 'text'
>;

/** The repo that a point names, where it names one that can be one. */
export function repoOf(payload: Record<string, unknown>, fields: ForeignFields): string | null {
  const name = fields.repo === undefined ? undefined : valueAt(payload, fields.repo);
  const parsed = repoNameSchema.safeParse(typeof name === 'string' ? name.trim() : undefined);
  return parsed.success ? parsed.data : null;
}

/**
 * A chunk out of a payload. Where nothing names its file it stands in one of its own, called after its point; where
 * nothing says its lines it begins with the first one.
 */
export function foreignChunk(
  { id, payload }: Pick<ForeignPoint, 'id' | 'payload'>,
  fields: ForeignFields,
): ForeignChunk | SkippedFile {
  const place = `point ${id}`;
  const words = (role: keyof ForeignFields, most: number): string => {
    const way = fields[role];
    const value = way === undefined ? undefined : valueAt(payload, way);
    return typeof value === 'string' ? value.slice(0, most) : '';
  };
  const text = words('text', MAX_TEXT + 1).toWellFormed();
  if (text.trim() === '') return { path: place, reason: `has no text in ${fields.text}` };
  if (text.length > MAX_TEXT)
    return { path: place, reason: `its text is longer than ${MAX_TEXT} characters` };
  const path = relativePath(words('path', MAX_PATH)) || `point-${id}`;
  const line = (role: 'startLine' | 'endLine'): number | null => {
    const way = fields[role];
    const value = way === undefined ? undefined : valueAt(payload, way);
    return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= MAX_LINE ? Number(value) : null;
  };
  const startLine = line('startLine') ?? 1;
  const lastLine = startLine + text.replace(/\n$/, '').split('\n').length - 1;
  const language = words('language', MAX_LANGUAGE).toLowerCase();
  return {
    path,
    language: language || languageOf(path, text).language,
    symbol: words('symbol', MAX_SYMBOL),
    startLine,
    endLine: Math.max(line('endLine') ?? lastLine, startLine),
    text,
  };
}

/** No way out of a repo and none from the root of a disk; a URL keeps its host. */
const relativePath = (path: string): string =>
  path
    .toWellFormed()
    .replace(/^[a-z][a-z0-9+.-]*:\/\//i, '')
    .replaceAll('\\', '/')
    .replaceAll('\0', '')
    .split('/')
    .filter((part) => !['', '.', '..'].includes(part))
    .join('/');

/**
 * Stands in for the sha256 of what was embedded, which only the other program knows: no chunk of ours takes this vector for
 * its own, and no measure of alignment believes it. Another vector for the same text is another chunk.
 */
export function foreignHash(
  text: string,
  { vector, lexical }: { vector: Float32Array; lexical: boolean },
): string {
  const bytes = new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
  return createHash('sha256').update(`adopted ${lexical}\0${text}\0`).update(bytes).digest('hex');
}
