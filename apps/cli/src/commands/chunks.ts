import { AppError } from '@embergate/contracts/errors.ts';
import { Command } from 'commander';
import { basename, resolve } from 'node:path';
import {
  clientOf,
  findOptionsOf,
  withRemoteOptions,
  type CliContext,
  type RemoteOptions,
} from '../context.ts';
import { exportFolder } from '../export-chunks.ts';
import { followOrTell } from '../follow-job.ts';
import { EXPORT_FILE } from '@embergate/contracts/chunk-export.ts';
import { exportFolderOf, readChunkExport } from '@embergate/ingestion/vectors-source.ts';
import { print, printJson } from '../output.ts';

interface ExportFlags {
  out: string;
  repo?: string;
  json?: boolean;
}

interface ImportFlags extends RemoteOptions {
  collection?: string;
  repo?: string;
  full?: boolean;
  detach?: boolean;
}

export function chunksCommand(context: CliContext): Command {
  return new Command('chunks')
    .description('embed elsewhere: write out what is to be embedded, bring it back with its vectors')
    .addCommand(exportCommand(context))
    .addCommand(importCommand(context));
}

function exportCommand(context: CliContext): Command {
  return new Command('export')
    .description('cut a folder into chunks, as an index job would, and write them down for EMBEDDING_MODEL')
    .argument('<folder>', 'the code')
    .requiredOption('--out <folder>', 'where chunks.jsonl and embedding.json go')
    .option('--repo <name>', 'what to call it (default: the last part of the folder)')
    .option('--json', 'print JSON')
    .action(async (folder: string, { out, repo, json }: ExportFlags) => {
      const root = resolve(folder);
      const written = await exportFolder({
        root,
        out: resolve(out),
        repo: repo ?? (basename(root) || 'root'),
        model: { name: context.config.EMBEDDING_MODEL, options: findOptionsOf(context) },
        chunkMaxChars: context.config.CHUNK_MAX_CHARS,
        signal: context.signal,
      });
      if (json) return printJson({ folder: resolve(out), ...written });
      const skipped = written.skippedFiles > 0 ? `, ${written.skippedFiles} skipped` : '';
      print(
        `${written.chunks} chunks of ${written.files} files${skipped}, for ${written.spaceId}, are in ${resolve(out)}. ` +
          'Embed them as examples/kaggle shows, then: embergate chunks import FOLDER',
      );
    });
}

function importCommand(context: CliContext): Command {
  const command = new Command('import')
    .description('index chunks that were embedded elsewhere')
    .argument(
      '<path>',
      'on the gateway’s machine: an export with vectors.npy or one .parquet file, or such a file',
    )
    .option('-c, --collection <name>', 'the collection (default: default)')
    .option('--repo <name>', 'what to call it (default: as it was exported)')
    .option('--full', 'replace all vectors of the repo, known ones too')
    .option('-d, --detach', 'do not wait for the end');
  return withRemoteOptions(command).action(async (folder: string, options: ImportFlags) => {
    const path = resolve(folder);
    const described = await readChunkExport(exportFolderOf(path));
    if (!described) {
      const what = `There is no ${EXPORT_FILE} in ${path}`;
      throw new AppError('source_not_found', `${what}; copy it there with chunks.jsonl, as it was exported.`);
    }
    const client = clientOf(context, options);
    const job = await client.createIndexJob({
      source: { type: 'vectors', path, space: described.spaceId },
      repo: options.repo ?? described.repo,
      mode: options.full ? 'full' : 'incremental',
      ...(options.collection !== undefined && { collection: options.collection }),
    });
    await followOrTell(client, job, { context, ...options });
  });
}
