import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { AppError } from '@embergate/contracts/errors.ts';
import { isRunning } from '@embergate/platform/is-running.ts';
import { differenceOf, ExpectedSum, type ExpectedFile } from './expected-file.ts';

const SUFFIX = '.part';
/** Paths that a pull of this process is writing to. */
const inUse = new Set<string>();
const WRITE_REFUSED = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EACCES', 'EPERM', 'EROFS']);

/**
 * A download that has not been verified yet.
 *
 *   open -> append* -> commit   the bytes have the sum that is expected: renamed to their name, in one step
 *                   -> commit   they do not: removed, and the caller is told both sums
 *                   -> close    kept, and the next process that wants this file goes on from there
 *
 * Its name holds host, process and a random part, so two pulls never write to one file. What a pull that has ended has
 * left on this host is taken over by renaming it, which only one of several processes can do.
 */
export class PartialFile {
  bytes: number;
  readonly file: ExpectedFile;
  readonly #folder: string;
  readonly #path: string;
  readonly #handle: FileHandle;
  #sum: ExpectedSum;

  private constructor(place: { folder: string; file: ExpectedFile; path: string }, handle: FileHandle) {
    this.file = place.file;
    this.#folder = place.folder;
    this.#path = place.path;
    this.#handle = handle;
    this.#sum = new ExpectedSum(this.file);
    this.bytes = 0;
  }

  /** `file.path` may name a folder below `root`, which is made. Errors: `storage_full` where it cannot be written. */
  static async open(root: string, file: ExpectedFile): Promise<PartialFile> {
    const folder = dirname(join(root, file.path));
    await mkdir(folder, { recursive: true }).catch(refused(root));
    const name = `.${basename(file.path)}.${hostname()}.${process.pid}.${randomBytes(4).toString('hex')}${SUFFIX}`;
    const path = join(folder, name);
    inUse.add(path);
    const takenOver = await takeOver({ folder, file, path });
    const handle = await open(path, takenOver ? 'r+' : 'wx').catch(refused(folder));
    const partial = new PartialFile({ folder, file, path }, handle);
    if (takenOver) await partial.#hashExisting();
    return partial;
  }

  /** Errors: `storage_full`; `checksum_mismatch` when there is more than the file should have. */
  async append(chunk: Uint8Array): Promise<void> {
    if (this.bytes + chunk.length > this.file.bytes) {
      throw new AppError(
        'checksum_mismatch',
        `${this.file.path} is longer than its ${this.file.bytes} bytes`,
      );
    }
    // A disk that fills up takes a part of the last write before it refuses the next one.
    for (let at = 0; at < chunk.length;) {
      const { bytesWritten } = await this.#handle
        .write(chunk, at, chunk.length - at, this.bytes + at)
        .catch(refused(this.#folder));
      at += bytesWritten;
    }
    this.#sum.update(chunk);
    this.bytes += chunk.length;
  }

  /** Forgets what has been written. */
  async restart(): Promise<void> {
    await this.#handle.truncate(0);
    this.#sum = new ExpectedSum(this.file);
    this.bytes = 0;
  }

  /** Puts the file under its name. Errors: `checksum_mismatch`, after which it is empty again; `storage_full`. */
  async commit(): Promise<void> {
    const { path } = this.file;
    const difference = this.#sum.difference(this.bytes);
    if (difference !== null) {
      await this.restart();
      throw new AppError('checksum_mismatch', `${path}: ${difference}`);
    }
    await this.#handle.sync().catch(refused(this.#folder));
    await rename(this.#path, join(this.#folder, basename(path)));
  }

  /** Frees the file handle; `keep` leaves what was received for the next attempt. */
  async close(options: { keep: boolean }): Promise<void> {
    await this.#handle.close();
    inUse.delete(this.#path);
    if (!options.keep || this.bytes === 0) await rm(this.#path, { force: true });
  }

  async #hashExisting(): Promise<void> {
    for await (const chunk of createReadStream(this.#path)) {
      this.#sum.update(chunk as Buffer);
      this.bytes += (chunk as Buffer).length;
    }
    if (this.bytes > this.file.bytes) await this.restart();
  }
}

/** True when the file is there and has the size and the sum that are expected of it. */
export async function isIntact(folder: string, file: ExpectedFile, signal?: AbortSignal): Promise<boolean> {
  const difference = await differenceOf(join(folder, file.path), file, signal).catch(
    () => 'it cannot be read',
  );
  signal?.throwIfAborted();
  return difference === null;
}

/** Renames what an ended pull of this host has left to `path`, and removes further leftovers. */
async function takeOver(place: { folder: string; file: ExpectedFile; path: string }): Promise<boolean> {
  const prefix = `.${basename(place.file.path)}.${hostname()}.`;
  const names = await readdir(place.folder).catch(refused(place.folder));
  let taken = false;
  for (const name of names.filter((entry) => entry.startsWith(prefix) && entry.endsWith(SUFFIX))) {
    const leftover = join(place.folder, name);
    if (isBeingWritten(leftover, Number(name.slice(prefix.length).split('.')[0]))) continue;
    if (taken) await rm(leftover, { force: true });
    // Another process may have been quicker; then there is nothing to take over.
    else
      taken = await rename(leftover, place.path).then(
        () => true,
        () => false,
      );
  }
  return taken;
}

function isBeingWritten(path: string, pid: number): boolean {
  return pid === process.pid ? inUse.has(path) : isRunning(pid);
}

/** For `.catch()` of a write: a full or forbidden disk gets a code and says where. */
export function refused(folder: string): (error: unknown) => never {
  return (error) => {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (!WRITE_REFUSED.has(code)) throw error;
    const advice = 'Free some space there, or set MODEL_DIR to another folder.';
    throw new AppError('storage_full', `${folder} cannot be written (${code}). ${advice}`, { cause: error });
  };
}
