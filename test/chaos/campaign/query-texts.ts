import { pick, type Random } from './random.ts';

const WORDS =
  'open read write parse header request value retry queue worker vector index chunk batch token socket file stream cache lock timer error signal buffer column'.split(
    ' ',
  );
const LENGTHS = [4, 6, 8, 12, 20, 32];
/** Mostly new texts, so that no cache hides what the tiers do; some again, as people ask. */
const REPEATED_SHARE = 0.05;
const REPEATED_AMONG = 50;

/** What people ask in a campaign. */
export class QueryTexts {
  readonly #random: Random;
  readonly #asked: string[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  next(): { text: string; isNew: boolean } {
    const recent = this.#asked.slice(-REPEATED_AMONG);
    if (recent.length > 0 && this.#random() < REPEATED_SHARE)
      return { text: pick(recent, this.#random), isNew: false };
    const words = Array.from({ length: pick(LENGTHS, this.#random) }, () => pick(WORDS, this.#random));
    const text = `${words.join(' ')} ${this.#asked.length}`;
    this.#asked.push(text);
    return { text, isNew: true };
  }
}
