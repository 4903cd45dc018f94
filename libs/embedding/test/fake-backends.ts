import { AppError } from '@embergate/contracts/errors.ts';
import { LiveFit, type Fit, type Sample } from '@embergate/routing/fit.ts';
import type { Embedded, EmbeddingBackend, EmbedOptions } from '../src/backend.ts';
import { paddedTokens } from '../src/padded-tokens.ts';

/** A text of one repeated token: its first id names it. */
export const text = (id: number, length: number): Uint32Array => new Uint32Array(length).fill(id);

const firstIds = (batch: readonly Uint32Array[]): number[] => batch.map((ids) => ids[0] ?? 0);
/** What fakes answer with: a vector holds its text's first id and its length. */
const embedded = (batch: readonly Uint32Array[]): Embedded => ({
  vectors: Float32Array.from(batch.flatMap((ids) => [ids[0] ?? 0, ids.length])),
  ms: 1,
});

const childEnded = (): AppError =>
  new AppError('embedding_failed', 'The inference process ended (SIGKILL).', {
    details: { childEnded: true },
  });

/** Stands for the model: shows the batches it is given, and ends each when told. */
export class FakeBackend implements EmbeddingBackend {
  readonly device = 'cpu';
  readonly dimensions = 2;
  readonly batches: number[][] = [];
  readonly options: EmbedOptions[] = [];
  readonly bulkBeside: number = 0;
  readonly isolatesBulk: boolean = false;
  readonly pads: boolean = true;
  readonly computedTokens = paddedTokens;
  isReady = true;
  #running: { finish: (error?: Error) => void } | undefined;
  #begun = Promise.withResolvers<void>();
  #back = Promise.withResolvers<void>();

  embed(batch: readonly Uint32Array[], options: EmbedOptions = {}): Promise<Embedded> {
    this.batches.push(firstIds(batch));
    this.options.push(options);
    return new Promise((resolve, reject) => {
      this.#running = { finish: (error) => (error ? reject(error) : resolve(embedded(batch))) };
      this.#begun.resolve();
    });
  }

  /** Waits until a batch runs. */
  async untilBatch(): Promise<void> {
    await this.#begun.promise;
  }

  /** Waits until a batch runs, then ends it. */
  async finishBatch(error?: Error): Promise<void> {
    await this.#begun.promise;
    this.#begun = Promise.withResolvers();
    const running = this.#running;
    this.#running = undefined;
    running?.finish(error);
    // The batcher starts the next batch in the microtasks that follow.
    await new Promise(setImmediate);
  }

  /** Ends the batch as a child does that is killed; the next one is not there before {@link comeBack}. */
  async die(): Promise<void> {
    await this.untilBatch();
    this.isReady = false;
    this.#back = Promise.withResolvers();
    await this.finishBatch(childEnded());
  }

  comeBack(): void {
    this.isReady = true;
    this.#back.resolve();
  }

  whenReady(): Promise<void> {
    return this.isReady ? Promise.resolve() : this.#back.promise;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Stands for a model in a process that some texts end, and that another process follows; others it only says no to. */
export function backendThatDiesOn(killers: ReadonlySet<number>, failing: ReadonlySet<number> = new Set()) {
  const batches: number[][] = [];
  let isReady = true;
  return {
    device: 'cpu',
    dimensions: 2,
    batches,
    bulkBeside: 0,
    isolatesBulk: false,
    pads: true,
    computedTokens: paddedTokens,
    get isReady() {
      return isReady;
    },
    async whenReady(): Promise<void> {
      await new Promise(setImmediate);
      isReady = true;
    },
    async embed(batch: readonly Uint32Array[]): Promise<Embedded> {
      const ids = firstIds(batch);
      batches.push(ids);
      await new Promise(setImmediate);
      if (ids.some((id) => killers.has(id))) {
        isReady = false;
        throw childEnded();
      }
      if (ids.some((id) => failing.has(id))) {
        throw new AppError('embedding_failed', 'The model could not embed the batch.');
      }
      return embedded(batch);
    },
    close: () => Promise.resolve(),
  } satisfies EmbeddingBackend & { batches: number[][] };
}

/** Stands for what was learnt of the machine: it changes when told, and only remembers what it is shown. */
export class FitThatStays extends LiveFit {
  readonly observed: Sample[] = [];
  now: Fit;

  constructor(fit: Fit) {
    super(fit);
    this.now = fit;
  }

  override get current(): Fit {
    return this.now;
  }

  override observe(sample: Sample): void {
    this.observed.push(sample);
  }
}
