import { createHash } from 'node:crypto';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { lexicalDocument } from '../lexical-text.ts';
import type { ChunkRow, RunRecord, RunState } from '../store.ts';

/** A small space, so that a vector can be written down in a test. */
export const space: EmbeddingSpace = {
  model: 'test/tiny',
  revision: '1',
  dimensions: 4,
  pooling: 'mean',
  normalize: true,
  prompts: { query: '', document: '' },
};

export const otherSpace: EmbeddingSpace = { ...space, revision: '2' };

/** A smaller model beside the first one. */
export const smallSpace: EmbeddingSpace = { ...space, model: 'test/smaller', dimensions: 2 };

/** Strings that break what forgets to escape. */
export const hostileStrings: string[] = [
  "it's",
  "'; DROP TABLE chunks; --",
  "' OR '1'='1",
  'double "quotes"',
  'back`ticks`',
  'back\\slash\\',
  "\\'",
  'line\nbreak\r\nand\ttab',
  '%_[a-z]*?{}$1',
  '/* comment */ -- end',
  '🙂👩‍👩‍👧 e\u0301 ß \u202egnp.exe',
  '{"json": ["NULL"]}',
];

/** A vector of {@link space} with these leading components, of length one. */
export function vectorOf(...components: number[]): Float32Array {
  const length = Math.hypot(...components);
  return Float32Array.from({ length: space.dimensions }, (_, index) => (components[index] ?? 0) / length);
}

/** A row with defaults for what a test does not care about; `id`, hash and lexical text follow from the rest. */
export function row(changes: Partial<ChunkRow> = {}): ChunkRow {
  const base = {
    repo: 'app',
    path: 'src/index.ts',
    language: 'typescript',
    symbol: '',
    startLine: 1,
    endLine: 9,
  };
  const described = { ...base, text: 'export const answer = 42;', ...changes };
  const sha256 = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex');
  const { repo, path, symbol, startLine, text } = described;
  return {
    id: sha256([repo, path, symbol, startLine, text]),
    embeddedHash: sha256(text),
    lexicalText: lexicalDocument(described),
    addedBy: 'run-0',
    removedBy: null,
    vector: vectorOf(1),
    secondVector: null,
    ...described,
  };
}

export function run(id: string, state: RunState, changes: Partial<RunRecord> = {}): RunRecord {
  return {
    id,
    collection: 'default',
    repo: 'app',
    state,
    commit: null,
    startedAt: '2026-01-01T00:00:00.000Z',
    finishedAt: state === 'pending' ? null : '2026-01-01T00:01:00.000Z',
    ...changes,
  };
}
