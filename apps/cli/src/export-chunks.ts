import type { ChunkExport } from '@embergate/contracts/chunk-export.ts';
import { AppError } from '@embergate/contracts/errors.ts';
import { repoNameSchema } from '@embergate/contracts/http-search.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import { createChunker } from '@embergate/ingestion/chunk.ts';
import { exportChunks } from '@embergate/ingestion/chunk-export.ts';
import { chunkCharsFor } from '@embergate/ingestion/chunk-size.ts';
import { FolderSource } from '@embergate/ingestion/folder-source.ts';
import { headCommit } from '@embergate/ingestion/head-commit.ts';
import type { FindOptions } from '@embergate/models/installed-model.ts';
import { describeModel } from '@embergate/models/model-description.ts';
import cliProgress from 'cli-progress';
import { isAbsolute, relative, sep } from 'node:path';

interface ExportFolderOptions {
  /** Absolute. */
  root: string;
  /** Absolute. */
  out: string;
  repo: string;
  model: { name: string; options: FindOptions };
  /** As the indexer's. */
  chunkMaxChars: number | undefined;
  signal: AbortSignal;
}

/** Exports the chunks of a folder, with a progress bar on a terminal. Errors: those of the model and of the export. */
export async function exportFolder({
  root,
  out,
  repo,
  model,
  chunkMaxChars,
  signal,
}: ExportFolderOptions): Promise<ChunkExport> {
  if (!repoNameSchema.safeParse(repo).success)
    throw new AppError('usage', `${JSON.stringify(repo)} is no name for a repo; give one with --repo.`);
  const way = relative(root, out);
  if (way === '' || (way.split(sep)[0] !== '..' && !isAbsolute(way)))
    throw new AppError('usage', `${out} is inside ${root}: the next index would hold it.`);
  const { space, maxTokens, hub } = await describeModel(model.name, model.options);
  const commit = await headCommit(root);
  const stream = process.stderr;
  const bar = new cliProgress.SingleBar(
    { stream, format: '[{bar}] {percentage}% | {chunks} chunks, {files} files', hideCursor: true },
    cliProgress.Presets.shades_classic,
  );
  const chunker = await createChunker({ maxChars: chunkCharsFor(maxTokens, chunkMaxChars) });
  try {
    const source = await FolderSource.open(root, chunker);
    if (stream.isTTY) bar.start(1, 0, { chunks: 0, files: 0 });
    return await exportChunks(source, {
      out,
      description: { space, spaceId: spaceId(space), hub, maxTokens, repo, commit },
      signal,
      onProgress: ({ bytes, totalBytes, ...counts }) => {
        bar.setTotal(Math.max(totalBytes, bytes, 1));
        bar.update(bytes, counts);
      },
    });
  } finally {
    bar.stop();
    chunker.close();
  }
}
