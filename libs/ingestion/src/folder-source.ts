import { AppError } from '@embergate/contracts/errors.ts';
import type { SkippedFile } from '@embergate/contracts/index-job.ts';
import type { Chunker } from './chunk.ts';
import type { ChunkPage, ChunkSource, SourceSample } from './chunk-source.ts';
import { embeddedText } from './embedded-text.ts';
import { embeddedHash } from './hash.ts';
import { folderIdentity, measureSource, walkSource, type SourceMeasure } from './walk.ts';

/** A folder of code, chunked as it is walked. One page is one file. */
export class FolderSource implements ChunkSource {
  readonly repeated = 'same';
  readonly #root: string;
  readonly #chunker: Chunker;
  readonly #identity: string;
  #measured: Promise<SourceMeasure> | undefined;

  private constructor(root: string, chunker: Chunker, identity: string) {
    this.#root = root;
    this.#chunker = chunker;
    this.#identity = identity;
  }

  /**
   * @param root absolute folder.
   * @param chunker stays the caller's to close.
   * @throws AppError `source_not_found`
   */
  static async open(root: string, chunker: Chunker): Promise<FolderSource> {
    return new FolderSource(root, chunker, await folderIdentity(root));
  }

  async paths(): Promise<ReadonlySet<string>> {
    return (await this.#measure()).paths;
  }

  async sizeBytes(): Promise<number> {
    return (await this.#measure()).bytes;
  }

  read(): AsyncGenerator<ChunkPage | SkippedFile, void, undefined> {
    return this.#pages(1);
  }

  async sample(most: number): Promise<SourceSample> {
    const { paths, bytes } = await this.#measure();
    const files = paths.size;
    return { pages: this.#pages(Math.max(1, Math.ceil(files / most))), files, bytes };
  }

  /** Once: each time asks git for the list, and the disk for the size of every file. */
  #measure(): Promise<SourceMeasure> {
    return (this.#measured ??= measureSource(this.#root));
  }

  /** @param every how many files are walked for one that is read. */
  async *#pages(every: number): AsyncGenerator<ChunkPage | SkippedFile, void, undefined> {
    for await (const file of walkSource(this.#root, { every })) {
      if (file.kind === 'skipped') {
        yield { path: file.path, reason: file.reason };
        continue;
      }
      const { path, sizeBytes } = file;
      const chunks = (await this.#chunker.chunk(file)).map(({ signature, ...chunk }) => {
        const text = embeddedText({ path, signature, ...chunk });
        return { path, ...chunk, embeddedText: text, embeddedHash: embeddedHash(text) };
      });
      yield { chunks, files: 1, bytes: sizeBytes };
    }
  }

  /** Files of a share that was unmounted, or of a folder that is being deleted, look as if they were no longer wanted. */
  async expectUnchanged(): Promise<void> {
    if ((await folderIdentity(this.#root)) === this.#identity) return;
    throw new AppError(
      'source_not_found',
      `The folder ${this.#root} was replaced while it was read; nothing was published.`,
    );
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
