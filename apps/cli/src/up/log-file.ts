import { AppError } from '@embergate/contracts/errors.ts';
import { closeSync, openSync, renameSync, statSync, writeSync } from 'node:fs';

const MAX_BYTES = 10 * 1024 * 1024;

/**
 * Where a child process's output goes. What the disk does not take is dropped: a child blocks when nobody reads what it
 * prints, and a full disk must stop neither it nor this process. With space, the log goes on by itself.
 */
export class LogFile {
  readonly path: string;
  #file: number | null;

  /** @throws AppError `storage_full` when the file cannot be made. A large one of earlier starts is moved to `path.1`. */
  constructor(path: string) {
    this.path = path;
    try {
      const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
      if (bytes > MAX_BYTES) renameSync(path, `${path}.1`);
      this.#file = openSync(path, 'a');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new AppError('storage_full', `${path} cannot be written (${code}).`, { cause: error });
    }
  }

  write(chunk: Buffer): void {
    if (this.#file === null) return;
    try {
      writeSync(this.#file, chunk);
    } catch {
      // Nobody can be told here; whoever needs the disk says so.
    }
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }
}
