import { z } from 'zod';
import { repoNameSchema } from './http-search.ts';
import { embeddingSpaceSchema } from './space.ts';

/**
 * A folder of chunks that are embedded elsewhere and brought back. `embergate chunks export` writes the first two files, whoever
 * embeds adds the third:
 *
 *   chunks.jsonl     one chunk a line, {@link exportedChunkSchema}
 *   embedding.json   how they are to be embedded, {@link chunkExportSchema}
 *   vectors.npy      float32 or float16, n x d in C order; row k belongs to line k of chunks.jsonl
 */
export const CHUNKS_FILE = 'chunks.jsonl';
export const EXPORT_FILE = 'embedding.json';
export const VECTORS_FILE = 'vectors.npy';

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, { error: 'must be a sha256 in lower-case hex' });

/** Far above what the chunker makes; other tools may cut longer ones. */
const MAX_TEXT = 262_144;
const MAX_LINE_NUMBER = 100_000_000;

/** A way from the root of the repository to one of its files: no way out of it, and none from the root of a disk. */
const relativePathSchema = z
  .string()
  .min(1)
  .max(4_096)
  .refine(
    (path) => !path.includes('\0') && path.split('/').every((part) => !['', '.', '..'].includes(part)),
    {
      error: 'must be relative, with "/" between its parts, and without "." or ".."',
    },
  );

export const exportedChunkSchema = z
  .object({
    /** The chunk's key under the repo's name of the export. An import makes its own. */
    id: z.string().max(200).optional(),
    path: relativePathSchema,
    language: z.string().max(64),
    symbol: z.string().max(MAX_TEXT),
    /** function, class, section, ...; null for windows of lines. */
    kind: z.string().max(64).nullish(),
    /** 1-based, both included. */
    startLine: z.int().min(1).max(MAX_LINE_NUMBER),
    endLine: z.int().min(1).max(MAX_LINE_NUMBER),
    /** What a search shows. */
    text: z.string().min(1).max(MAX_TEXT),
    /** What the model reads, byte by byte, after the space's document prompt. */
    embeddedText: z.string().min(1).max(MAX_TEXT),
    embeddedHash: sha256Schema,
  })
  .refine(({ startLine, endLine }) => startLine <= endLine, { error: 'endLine is before startLine' })
  .refine(({ text, startLine, endLine }) => text.split('\n').length <= endLine - startLine + 1, {
    error: 'text has more lines than there are from startLine to endLine',
  });
export type ExportedChunk = z.infer<typeof exportedChunkSchema>;

export const chunkExportSchema = z.object({
  formatVersion: z.literal(1),
  space: embeddingSpaceSchema,
  /** The short name of `space`. */
  spaceId: z.string(),
  /** Where the model is on the model hub; null where Embergate does not know. */
  hub: z.string().nullable(),
  /** Texts are cut to so many tokens, special ones included. */
  maxTokens: z.int().positive(),
  repo: repoNameSchema,
  commit: z.string().max(200).nullable(),
  chunks: z.int().nonnegative(),
  files: z.int().nonnegative(),
  skippedFiles: z.int().nonnegative(),
});
export type ChunkExport = z.infer<typeof chunkExportSchema>;
