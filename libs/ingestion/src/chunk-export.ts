import {
  CHUNKS_FILE,
  EXPORT_FILE,
  VECTORS_FILE,
  type ChunkExport,
  type ExportedChunk,
} from '@embergate/contracts/chunk-export.ts';
import { AppError } from '@embergate/contracts/errors.ts';
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ChunkPage, ChunkSource } from './chunk-source.ts';
import { chunkKey } from './hash.ts';

export interface ExportOptions {
  /** Absolute; where the export goes. */
  out: string;
  /** What is said of it besides its counts. */
  description: Omit<ChunkExport, 'formatVersion' | 'chunks' | 'files' | 'skippedFiles'>;
  signal: AbortSignal;
  /** Told after each file. */
  onProgress: (counts: ExportProgress) => void;
}

export interface ExportProgress {
  chunks: number;
  files: number;
  skippedFiles: number;
  bytes: number;
  /** An estimate. */
  totalBytes: number;
}

/**
 * Writes the chunks of a source as chunks.jsonl and embedding.json (contracts' chunk-export.ts), as an index run would embed them. The
 * folder appears when it is complete; an earlier export in its place stays until then.
 *
 * @throws AppError `usage` where the folder holds something else, or vectors; those of the source; `storage_full`; the signal's reason.
 */
export async function exportChunks(source: ChunkSource, options: ExportOptions): Promise<ChunkExport> {
  const { out } = options;
  await expectExportFolder(out);
  await removeLeftBehind(out);
  const folder = besideOf(out);
  try {
    await mkdir(folder, { recursive: true });
    const written = await writeExport(source, folder, options);
    await source.expectUnchanged();
    await replace(out, folder);
    return written;
  } catch (error) {
    await rm(folder, { recursive: true, force: true }).catch(() => undefined);
    options.signal.throwIfAborted();
    throw failure(error, out);
  }
}

async function writeExport(
  source: ChunkSource,
  folder: string,
  options: ExportOptions,
): Promise<ChunkExport> {
  const file = await open(join(folder, CHUNKS_FILE), 'wx');
  let counts: Pick<ChunkExport, 'chunks' | 'files' | 'skippedFiles'>;
  try {
    counts = await writeChunks(source, file, options);
    await file.sync();
  } finally {
    await file.close();
  }
  const written: ChunkExport = { formatVersion: 1, ...options.description, ...counts };
  await writeFile(join(folder, EXPORT_FILE), `${JSON.stringify(written, null, 2)}\n`, { flush: true });
  return written;
}

async function writeChunks(
  source: ChunkSource,
  file: FileHandle,
  { description, signal, onProgress }: ExportOptions,
): Promise<Pick<ChunkExport, 'chunks' | 'files' | 'skippedFiles'>> {
  const seen = new Set<string>();
  const counts = { files: 0, skippedFiles: 0 };
  const totalBytes = await source.sizeBytes();
  let bytes = 0;
  for await (const page of source.read()) {
    signal.throwIfAborted();
    if ('reason' in page) {
      counts.skippedFiles += 1;
      continue;
    }
    counts.files += page.files;
    bytes += page.bytes;
    await file.appendFile(linesOf(page, description.repo, seen));
    onProgress({ ...counts, chunks: seen.size, bytes, totalBytes });
  }
  return { ...counts, chunks: seen.size };
}

function linesOf({ chunks }: ChunkPage, repo: string, seen: Set<string>): string {
  let lines = '';
  for (const { embeddedText, embeddedHash, ...chunk } of chunks) {
    const id = chunkKey({ repo, ...chunk, embeddedHash });
    if (seen.has(id)) continue;
    seen.add(id);
    // A path or symbol that was shortened in the middle of a character: what is hashed and embedded has U+FFFD there.
    const line: ExportedChunk = { id, ...chunk, embeddedText: embeddedText.toWellFormed(), embeddedHash };
    lines += `${JSON.stringify(line)}\n`;
  }
  return lines;
}

async function expectExportFolder(out: string): Promise<void> {
  const found: string[] = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new AppError('usage', `${out} is no folder that can be written: ${error.message}`);
  });
  if (found.length > 0 && !found.includes(EXPORT_FILE))
    throw new AppError('usage', `${out} is not empty, and no export of chunks. Choose another folder.`);
  const own = [CHUNKS_FILE, EXPORT_FILE];
  const made = found.filter((name) => !own.includes(name));
  // Vectors took hours elsewhere, and belong to the chunks that are there now.
  if (made.length > 0) {
    const what = made.includes(VECTORS_FILE) ? VECTORS_FILE : made[0];
    throw new AppError('usage', `${out} holds ${what} beside an export. Choose another folder.`);
  }
}

const besideOf = (out: string): string =>
  join(dirname(out), `.${basename(out)}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`);

/** What exports to the same place left behind that were killed: their process is gone. */
async function removeLeftBehind(out: string): Promise<void> {
  const start = `.${basename(out)}.`;
  for (const name of await readdir(dirname(out)).catch(() => [] as string[])) {
    const pid = name.startsWith(start)
      ? /^(\d+)-[0-9a-f]{8}\.tmp$/.exec(name.slice(start.length))?.[1]
      : undefined;
    if (pid !== undefined && !isAlive(Number(pid)))
      await rm(join(dirname(out), name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function replace(out: string, folder: string): Promise<void> {
  const old = besideOf(out);
  const hadOld = await rename(out, old).then(
    () => true,
    () => false,
  );
  try {
    await rename(folder, out);
  } catch (error) {
    if (hadOld) await rename(old, out);
    throw error;
  }
  if (hadOld) await rm(old, { recursive: true, force: true });
}

function failure(error: unknown, out: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof AppError || code === undefined) return error;
  return new AppError('storage_full', `${out} cannot be written: ${message}`, { cause: error });
}
