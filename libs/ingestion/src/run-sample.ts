import { Reservoir } from '@embergate/vector-store/reservoir.ts';
import type { SourceChunk } from './chunk-source.ts';
import type { VectorSample } from './run-request.ts';
import type { SearchedChunk } from './sample-search.ts';

/** Vectors made elsewhere that are compared with the model's own. */
const SAMPLED_VECTORS = 8;
/** Chunks that are searched for, of all that there are and of what is new. */
const SEARCHED_CHUNKS = 4;

/** Some of the chunks that a reading of the source finds: what is looked at before they are published. */
export class RunSample {
  readonly #vectors = new Reservoir<VectorSample>(SAMPLED_VECTORS);
  readonly #found = new Reservoir<SearchedChunk>(SEARCHED_CHUNKS);
  readonly #added = new Reservoir<SearchedChunk>(SEARCHED_CHUNKS);

  /** @param isNew it is not there yet, and will be written. */
  offer(key: string, chunk: SourceChunk, isNew: boolean): void {
    const { path, symbol, text, embeddedText, vector, lexical = true } = chunk;
    const searched = { key, path, symbol, text, lexical };
    this.#found.offer(searched);
    if (isNew) this.#added.offer(searched);
    if (vector) this.#vectors.offer({ path, text: embeddedText, vector });
  }

  /** Those that were made elsewhere. */
  get vectors(): readonly VectorSample[] {
    return this.#vectors.kept;
  }

  get searched(): SearchedChunk[] {
    return [...new Set([...this.#added.kept, ...this.#found.kept])];
  }
}
