import { AppError } from '@embergate/contracts/errors.ts';
import { constants } from 'node:fs';
import { lstat, open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

/** A regular file that stays open while it is read, and knows whether it is still the one that was opened. */
export class OpenedFile {
  readonly handle: FileHandle;
  readonly sizeBytes: number;
  readonly #path: string;
  readonly #identity: string;

  private constructor(handle: FileHandle, file: { path: string; sizeBytes: number; identity: string }) {
    this.handle = handle;
    this.sizeBytes = file.sizeBytes;
    this.#path = file.path;
    this.#identity = file.identity;
  }

  /**
   * Never follows a link, which might lead out of the folder, and never waits for a pipe.
   * @throws AppError `source_not_found`, `vectors_invalid` for what is no file
   */
  static async open(folder: string, name: string): Promise<OpenedFile> {
    const path = join(folder, name);
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const handle = await open(path, flags).catch((cause: unknown) => {
      if ((cause as NodeJS.ErrnoException).code === 'ELOOP') throw noFile(path);
      throw new AppError('source_not_found', `There is no ${name} in ${folder} that can be read.`, { cause });
    });
    try {
      const stats = await handle.stat({ bigint: true });
      if (!stats.isFile()) throw noFile(path);
      return new OpenedFile(handle, { path, sizeBytes: Number(stats.size), identity: identityOf(stats) });
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** @throws AppError `source_not_found` where another file is there now, or this one was written to. */
  async expectUnchanged(): Promise<void> {
    const stats = await lstat(this.#path, { bigint: true }).catch(() => null);
    if (stats && identityOf(stats) === this.#identity) return;
    throw new AppError(
      'source_not_found',
      `The file ${this.#path} was changed while it was read; nothing was published.`,
    );
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

const noFile = (path: string): AppError =>
  new AppError('vectors_invalid', `${path} is not a regular file; links are not followed.`);

const identityOf = (stats: { dev: bigint; ino: bigint; size: bigint; mtimeNs: bigint }): string =>
  `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeNs}`;
