import { createChunker } from '@embergate/ingestion/chunk.ts';
import { embeddedText } from '@embergate/ingestion/embedded-text.ts';
import { walkSource } from '@embergate/ingestion/walk.ts';
import { writeFiles } from '@embergate/testing/sample-project.ts';
import { pick, type Random } from './random.ts';

const LINES = 4;
/** As the indexer cuts for the default model: docs/benchmarks.md. */
const MAX_CHUNK_CHARS = 1_024;

/** A piece of the source as the index must hold it, once. */
export interface ExpectedChunk {
  path: string;
  startLine: number;
  endLine: number;
  text: string;
  embedded: string;
}

/** A folder of generated Python, large enough to be embedded for some seconds; every function another text. */
export class BulkSource {
  readonly root: string;
  readonly #random: Random;
  readonly #files: number;
  #version = 0;

  constructor({ root, files, random }: { root: string; files: number; random: Random }) {
    this.root = root;
    this.#files = files;
    this.#random = random;
  }

  async write(): Promise<void> {
    await this.#rewrite(Array.from({ length: this.#files }, (_, n) => n));
  }

  /** Gives a share of the files another content. Only between index jobs: a job reads what is there. */
  async change(share: number): Promise<void> {
    const all = Array.from({ length: this.#files }, (_, n) => n);
    await this.#rewrite(all.filter(() => this.#random() < share));
  }

  /** What an index of the folder, as it is now, must hold. */
  async expected(): Promise<ExpectedChunk[]> {
    const chunker = await createChunker({ maxChars: MAX_CHUNK_CHARS });
    const found: ExpectedChunk[] = [];
    for await (const file of walkSource(this.root)) {
      if (file.kind !== 'file') continue;
      for (const chunk of await chunker.chunk(file)) {
        const { startLine, endLine, text } = chunk;
        const embedded = embeddedText({ path: file.path, ...chunk });
        found.push({ path: file.path, startLine, endLine, text, embedded });
      }
    }
    chunker.close();
    return found;
  }

  async #rewrite(files: readonly number[]): Promise<void> {
    this.#version += 1;
    const contents = files.map((n) => [`pkg/module_${n}.py`, this.#functionOf(n)]);
    await writeFiles(this.root, Object.fromEntries(contents) as Record<string, string>);
  }

  #functionOf(n: number): string {
    const name = `compute_${n}_v${this.#version}`;
    const term = (): string =>
      pick(['values', 'offsets', 'weights', 'limits'], this.#random) +
      `[${Math.floor(this.#random() * 100)}]`;
    const lines = Array.from(
      { length: LINES },
      (_, line) => `    total_${line} = ${term()} * ${term()} + ${term()}`,
    );
    return `def ${name}(values, offsets, weights, limits):\n${lines.join('\n')}\n    return total_0\n`;
  }
}
