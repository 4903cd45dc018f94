import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isRunning } from './is-running.ts';

const UNDER_WAY = '.new';
const REPLACED = '.old';

/**
 * A folder that is made beside the place it shall take, so that nothing half-made is ever found there.
 *
 *   make --filled--> takePlace   what was there before stays until then, and then goes
 *                --> drop        the place is as it was
 *
 * What processes left that were killed goes when the next one is made; what stood in the place, and was taken away by a
 * process that was killed before it put the new one there, comes back.
 */
export class NewFolder {
  readonly path: string;
  readonly #place: string;

  private constructor(place: string) {
    this.#place = place;
    this.path = besideOf(place, UNDER_WAY);
  }

  /** @param place absolute. @throws the file system's error. */
  static async make(place: string): Promise<NewFolder> {
    await clearLeftovers(place);
    const folder = new NewFolder(place);
    await mkdir(folder.path, { recursive: true });
    return folder;
  }

  /** @throws the file system's error, with what was there before back in its place. */
  async takePlace(): Promise<void> {
    const old = besideOf(this.#place, REPLACED);
    const hadOld = await isDone(rename(this.#place, old));
    try {
      await rename(this.path, this.#place);
    } catch (error) {
      if (hadOld) await rename(old, this.#place);
      throw error;
    }
    if (hadOld) await rm(old, { recursive: true, force: true });
  }

  async drop(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

/** A new name of this process's. */
const besideOf = (place: string, ending: string): string =>
  join(dirname(place), `.${basename(place)}.${process.pid}.${randomBytes(4).toString('hex')}${ending}`);

async function clearLeftovers(place: string): Promise<void> {
  const parent = dirname(place);
  const prefix = `.${basename(place)}.`;
  const names = await readdir(parent).catch(() => []);
  for (const name of names) {
    const [, pid = '', ending = ''] =
      /^(\d+)\.[0-9a-f]{8}(\.new|\.old)$/.exec(name.slice(prefix.length)) ?? [];
    if (!name.startsWith(prefix) || ending === '' || isRunning(Number(pid))) continue;
    // Renaming over a folder that is not empty fails: what stands in the place stays.
    if (ending === REPLACED && (await isDone(rename(join(parent, name), place)))) continue;
    await rm(join(parent, name), { recursive: true, force: true });
  }
}

const isDone = (work: Promise<void>): Promise<boolean> =>
  work.then(
    () => true,
    () => false,
  );
