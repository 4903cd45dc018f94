import type { Demand } from '@embergate/routing/required-workers.ts';
import type { VirtualTime } from './virtual-time.ts';

/** As the product's ledger has them: complete buckets only, so that all gateways read the same. */
const BUCKET_MS = 5_000;
const SHORT_BUCKETS = 2;
const LONG_BUCKETS = 12;

/** Tokens that queries asked of the first tier, diverted and refused ones included. */
export class DemandWindows {
  readonly #time: VirtualTime;
  readonly #buckets = new Map<number, number>();

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  record(tokens: number): void {
    const bucket = this.#bucket();
    this.#buckets.set(bucket, (this.#buckets.get(bucket) ?? 0) + tokens);
  }

  read(): Omit<Demand, 'bulkWaits'> {
    return { shortTokensPerSecond: this.#rate(SHORT_BUCKETS), longTokensPerSecond: this.#rate(LONG_BUCKETS) };
  }

  #rate(buckets: number): number {
    let tokens = 0;
    for (let ago = 1; ago <= buckets; ago++) tokens += this.#buckets.get(this.#bucket() - ago) ?? 0;
    return (tokens / (buckets * BUCKET_MS)) * 1_000;
  }

  #bucket(): number {
    return Math.floor(this.#time.now / BUCKET_MS);
  }
}
