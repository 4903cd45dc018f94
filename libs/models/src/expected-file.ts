import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/** A file as a list describes it: the catalog, a hub's list of a commit, or SHA256SUMS. */
export interface ExpectedFile {
  /** In a checkout: `config.json`, `1_Pooling/config.json`. */
  path: string;
  bytes: number;
  /** Hexadecimal; one of both is there, and the sha256 is what counts. */
  sha256?: string | undefined;
  /** Of small files, which a hub keeps in git itself: SHA-1 of `blob <bytes>\0` and the content. */
  gitOid?: string | undefined;
}

/** The sum of bytes that come one after the other, compared with what is expected. */
export class ExpectedSum {
  readonly #file: ExpectedFile;
  readonly #hash: Hash;

  constructor(file: ExpectedFile) {
    this.#file = file;
    this.#hash =
      file.sha256 === undefined ? createHash('sha1').update(`blob ${file.bytes}\0`) : createHash('sha256');
  }

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
  }

  /** What differs, in words; null where nothing does. Called once, at the end. */
  difference(bytes: number): string | null {
    const { sha256, gitOid, bytes: expectedBytes } = this.#file;
    const found = this.#hash.digest('hex');
    const expected = sha256 ?? gitOid;
    if (found === expected && bytes === expectedBytes) return null;
    const kind = sha256 === undefined ? 'git object' : 'sha256';
    return `${kind} ${expected} and ${expectedBytes} bytes are needed, ${found} and ${bytes} bytes came`;
  }
}

/** Reads a file and compares it: null, or what differs. Rejects with the file system's error, or the signal's reason. */
export async function differenceOf(
  path: string,
  file: ExpectedFile,
  signal?: AbortSignal,
): Promise<string | null> {
  const sum = new ExpectedSum(file);
  let bytes = 0;
  // Large reads: the default of 64 KiB spends more time between reads than in them.
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    signal?.throwIfAborted();
    sum.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return sum.difference(bytes);
}
