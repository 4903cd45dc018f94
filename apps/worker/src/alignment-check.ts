import {
  NO_REFERENCE,
  type Alignment,
  type AlignmentReference,
  type PublishedReference,
} from '@embergate/contracts/alignment.ts';
import {
  isAligned,
  measureAlignment,
  strangeCollections,
  type AlignmentFloors,
} from '@embergate/embedding/alignment.ts';
import type { Batcher } from '@embergate/embedding/batcher.ts';
import type { Logger } from '@embergate/platform/logs.ts';

export interface AlignmentCheckParts {
  references: {
    version: (space: string) => Promise<string | null>;
    read: (space: string) => Promise<PublishedReference | null>;
  };
  space: string;
  batcher: Pick<Batcher, 'submit'>;
  floors: AlignmentFloors;
  /** Told of every measurement; null once there is nothing to be compared with any more. */
  onMeasured: (alignment: Alignment | null, isAligned: boolean) => void;
  log: Logger;
}

const LOOK_MS = 2_000;
/** After a model that could not compute the canary texts. */
const RETRY_MS = 30_000;

/**
 * Compares this worker's model with what the collections of its space hold: once at the start, and whenever somebody has published
 * another sample; forgets it when there is nothing to compare with. It computes beside bulk work, and no query waits for it.
 */
export class AlignmentCheck {
  readonly #parts: AlignmentCheckParts;
  #measured: string | undefined;
  #notBefore = -Infinity;
  #looking: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: AlignmentCheckParts) {
    this.#parts = parts;
  }

  /** Resolves once what is published now has been measured, or cannot be. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
    await this.#look();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** One at a time, and never rejects: without a queue there is nothing to be compared with. */
  #look(): Promise<void> {
    this.#looking ??= this.#measureNews().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  async #measureNews(): Promise<void> {
    const { references, space, floors, onMeasured, log } = this.#parts;
    if (performance.now() < this.#notBefore) return;
    try {
      const version = await references.version(space);
      if (version === NO_REFERENCE) return this.#forget();
      if (version === null || version === this.#measured) return;
      const published = await references.read(space);
      if (!published) return;
      const own = await this.#embed(published.reference);
      const alignment = measureAlignment(published.reference, own);
      this.#measured = published.version;
      const isWell = isAligned(alignment, floors);
      const collections = strangeCollections(published.reference, own, floors);
      this.#say(isWell, { ...alignment, floors, collections });
      onMeasured(alignment, isWell);
    } catch (error) {
      this.#notBefore = performance.now() + RETRY_MS;
      log.warn({ err: error }, 'the alignment could not be measured');
    }
  }

  #say(isWell: boolean, figures: Alignment & { floors: AlignmentFloors; collections: string[] }): void {
    const { log } = this.#parts;
    if (!isWell)
      log.error(figures, 'the model does not agree with the collections of its space: it takes no work');
    else if (figures.collections.length > 0)
      log.warn(figures, 'these collections hold vectors that are not those of their space');
    else log.info(figures, 'the model agrees with the collections');
  }

  /** Who was misaligned with collections that are gone may be the one to make the next. */
  #forget(): void {
    if (this.#measured === undefined) return;
    this.#measured = undefined;
    this.#parts.log.info('the collections hold nothing any more that the model could be compared with');
    this.#parts.onMeasured(null, true);
  }

  async #embed({ canaries }: AlignmentReference): Promise<Float32Array> {
    const ids = canaries.map((canary) => canary.ids);
    const texts = canaries.map(({ text }) => text);
    return (await this.#parts.batcher.submit(ids, { lane: 'bulk', texts })).vectors;
  }
}
