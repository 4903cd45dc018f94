import type { Lane, TierName } from '@embergate/contracts/tiers.ts';
import { RELEASE_LUA } from './admissions.ts';
import type { Redis } from './connection.ts';
import { SpaceKeys } from './names.ts';

/**
 * KEYS inbox, tokens, expiry, total; ARGV most entries, then id and frame of each answer. An inbox that is gone has nobody
 * who waits. @returns how many answers found no inbox.
 */
const ANSWER = `${RELEASE_LUA}
local lost = 0
for at = 2, #ARGV, 2 do
  if not redis.call('XADD', KEYS[1], 'NOMKSTREAM', 'MAXLEN', '~', ARGV[1], '*', 'frame', ARGV[at + 1]) then
    lost = lost + 1
  end
  release({KEYS[2], KEYS[3], KEYS[4]}, ARGV[at])
end
return lost
`;
/** Approximate: an answer of 64 x 3584 floats has 0.9 MB. */
const INBOX_MAX_ENTRIES = 1_000;
/**
 * Of one command; a bulk answer may be larger by itself. Larger ones are cheaper, but the sender has nothing to do until
 * the first of them is there: 18 answers of 3,584 floats are the best of both (docs/benchmarks.md).
 */
const MAX_COMMAND_BYTES = 256 * 1024;

interface Scripts {
  embergateAnswer: (...args: (string | number | Buffer)[]) => Promise<number>;
}

interface Parcel {
  args: (string | Buffer)[];
  bytes: number;
  sent: PromiseWithResolvers<number>;
}

/**
 * Where a worker hands in its answers. Those of one moment for the same sender go in one command, as a batch answers many
 * queries at once; and each answer frees its place in the same step.
 */
export class Outbox {
  readonly #redis: Redis & Scripts;
  readonly #places: string[];
  readonly #parcels = new Map<string, Parcel>();

  constructor(redis: Redis, { space, tier, lane }: { space: string; tier: TierName; lane: Lane }) {
    redis.defineCommand('embergateAnswer', { numberOfKeys: 4, lua: ANSWER });
    this.#redis = redis as Redis & Scripts;
    const { tokens, expiry, total } = new SpaceKeys(space).reservations(tier, lane);
    this.#places = [tokens, expiry, total];
  }

  /**
   * @returns false when the sender's inbox is gone.
   * @throws what Redis says when it refuses (a full disk, say).
   */
  async answer({ inbox, jobId, frame }: { inbox: string; jobId: string; frame: Buffer }): Promise<boolean> {
    const parcel = this.#parcels.get(inbox) ?? this.#open(inbox);
    parcel.args.push(jobId, frame);
    parcel.bytes += frame.length;
    if (parcel.bytes >= MAX_COMMAND_BYTES) this.#send(inbox, parcel);
    return (await parcel.sent.promise) === 0;
  }

  #open(inbox: string): Parcel {
    const parcel: Parcel = { args: [], bytes: 0, sent: Promise.withResolvers() };
    this.#parcels.set(inbox, parcel);
    setImmediate(() => this.#send(inbox, parcel));
    return parcel;
  }

  #send(inbox: string, parcel: Parcel): void {
    if (this.#parcels.get(inbox) !== parcel) return;
    this.#parcels.delete(inbox);
    const { args, sent } = parcel;
    this.#redis
      .embergateAnswer(inbox, ...this.#places, INBOX_MAX_ENTRIES, ...args)
      .then(sent.resolve, sent.reject);
  }
}
