import { AppError } from '@embergate/contracts/errors.ts';
import type { IndexSource } from '@embergate/contracts/index-job.ts';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { Chunker } from '@embergate/ingestion/chunk.ts';
import type { OpenChunkSource } from '@embergate/ingestion/chunk-source.ts';
import { FolderSource } from '@embergate/ingestion/folder-source.ts';
import { ForeignSource } from '@embergate/ingestion/foreign-source.ts';
import { headCommit } from '@embergate/ingestion/head-commit.ts';
import { exportFolderOf, readChunkExport, VectorsSource } from '@embergate/ingestion/vectors-source.ts';
import type { ForeignCollections } from '@embergate/vector-store/foreign-collections.ts';
import type { Checkout } from './git.ts';

/** The source of a job, on this machine. */
export interface JobSource {
  openSource: OpenChunkSource;
  commit: string | null;
  /** Removes what was brought here for the job. */
  remove: () => Promise<void>;
}

interface SourceParts {
  chunker: Chunker;
  space: EmbeddingSpace;
  repo: string;
  /** Null where QDRANT_URL names none. */
  foreign: ForeignCollections | null;
  checkOut: (source: Extract<IndexSource, { type: 'git' }>) => Promise<Checkout>;
}

/** What an index run reads. */
export type RunSource = Exclude<IndexSource, { type: 'collection' }>;

/** Errors: those of the clone; a folder says what is wrong with it when it is opened. */
export async function bringSource(
  source: RunSource,
  { chunker, space, repo, foreign, checkOut }: SourceParts,
): Promise<JobSource> {
  if (source.type === 'qdrant') {
    if (!foreign) throw new AppError('config_invalid', 'The indexer has no QDRANT_URL to adopt from.');
    return {
      openSource: () => ForeignSource.open(source, { foreign, repo, space }),
      commit: null,
      remove: () => Promise.resolve(),
    };
  }
  if (source.type === 'vectors') {
    const { path, space: declared } = source;
    const description = await readChunkExport(exportFolderOf(path)).catch(() => null);
    return {
      openSource: () => VectorsSource.open(path, { declared, space }),
      commit: description?.commit ?? null,
      remove: () => Promise.resolve(),
    };
  }
  const { folder, remove } =
    source.type === 'git' ? await checkOut(source) : { folder: source.path, remove: () => Promise.resolve() };
  // One for the estimate and the run: a folder is measured once.
  let opened: Promise<FolderSource> | undefined;
  return {
    openSource: () => (opened ??= FolderSource.open(folder, chunker)),
    commit: await headCommit(folder),
    remove,
  };
}
