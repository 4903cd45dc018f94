import { createHash, randomBytes, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, rename, rm, type FileHandle } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { AppError } from '@embergate/contracts/errors.ts';
import type { CatalogFile } from './catalog.ts';
import { sha256OfFile } from './file-hash.ts';

const SUFFIX = '.part';
/** Paths that a pull of this process is writing to. */
const inUse = new Set<string>();
const WRITE_REFUSED = new Set(['ENOSPC', 'EDQUOT', 'EACCES', 'EPERM', 'EROFS']);

/**
 * A download that has not been verified yet.
 *
 *   open -> append* -> commit   the bytes hash to the catalog's sha256: renamed to their name, in one step
 *                   -> commit   they do not: removed, and the caller is told both sums
 *                   -> close    kept, and the next process that wants this file goes on from there
 *
 * Its name holds host, process and a random part, so two pulls never write to one file. What a pull that has ended has
 * left on this host is taken over by renaming it, which only one of several processes can do.
 */
export class PartialFile {
  bytes: number;
  readonly file: CatalogFile;
  readonly #folder: string;
  readonly #path: string;
  readonly #handle: FileHandle;
  #hash: Hash;

  private constructor(place: { folder: string; file: CatalogFile; path: string }, handle: FileHandle) {
    this.file = place.file;
    this.#folder = place.folder;
    this.#path = place.path;
    this.#handle = handle;
    this.#hash = createHash('sha256');
    this.bytes = 0;
  }

  /** Errors: `storage_full` where the folder cannot be written. */
  static async open(folder: string, file: CatalogFile): Promise<PartialFile> {
    const name = `.${file.path}.${hostname()}.${process.pid}.${randomBytes(4).toString('hex')}${SUFFIX}`;
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
    await this.#handle.write(chunk, 0, chunk.length, this.bytes).catch(refused(this.#folder));
    this.#hash.update(chunk);
    this.bytes += chunk.length;
  }

  /** Forgets what has been written. */
  async restart(): Promise<void> {
    await this.#handle.truncate(0);
    this.#hash = createHash('sha256');
    this.bytes = 0;
  }

  /** Puts the file under its name. Errors: `checksum_mismatch`, after which it is empty again; `storage_full`. */
  async commit(): Promise<void> {
    const { path, sha256 } = this.file;
    const found = this.#hash.digest('hex');
    if (found !== sha256) {
      const { bytes } = this;
      await this.restart();
      const claim = `sha256 ${sha256} and ${this.file.bytes} bytes are needed`;
      throw new AppError('checksum_mismatch', `${path}: ${claim}, ${found} and ${bytes} bytes came`);
    }
    await this.#handle.sync().catch(refused(this.#folder));
    await rename(this.#path, join(this.#folder, path));
  }

  /** Frees the file handle; `keep` leaves what was received for the next attempt. */
  async close(options: { keep: boolean }): Promise<void> {
    await this.#handle.close();
    inUse.delete(this.#path);
    if (!options.keep || this.bytes === 0) await rm(this.#path, { force: true });
  }

  async #hashExisting(): Promise<void> {
    for await (const chunk of createReadStream(this.#path)) {
      this.#hash.update(chunk as Buffer);
      this.bytes += (chunk as Buffer).length;
    }
    if (this.bytes > this.file.bytes) await this.restart();
  }
}

/** True when the file has the size and the sum that the catalog gives it. */
export async function isIntact(folder: string, file: CatalogFile): Promise<boolean> {
  const found = await sha256OfFile(join(folder, file.path)).catch(() => null);
  return found?.sha256 === file.sha256;
}

/** Renames what an ended pull of this host has left to `path`, and removes further leftovers. */
async function takeOver(place: { folder: string; file: CatalogFile; path: string }): Promise<boolean> {
  const prefix = `.${place.file.path}.${hostname()}.`;
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

/** Whether there is a process of that number, whoever owns it. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
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
