import { AppError } from '@embergate/contracts/errors.ts';
import { createHash } from 'node:crypto';

const REMEMBERED = 1_000;
/** Hexadecimal digits of a text's hash in its name. */
const NAME_DIGITS = 12;

/**
 * The texts that ended the model's process when they were alone with it, the last ones that were met. They are known by a
 * hash of their token ids, since logs and answers must not carry what users wrote.
 */
export class RefusedTexts {
  readonly #refusals = new Map<string, AppError>();

  add(ids: Uint32Array): void {
    const hash = hashOf(ids);
    const text = hash.slice(0, NAME_DIGITS);
    const refusal = new AppError(
      'text_refused',
      `The text ${text} (${ids.length} tokens) ended the model's process twice, and is not computed again.`,
      { details: { text, tokens: ids.length } },
    );
    this.#refusals.delete(hash);
    this.#refusals.set(hash, refusal);
    const [oldest] = this.#refusals.keys();
    if (this.#refusals.size > REMEMBERED && oldest !== undefined) this.#refusals.delete(oldest);
  }

  /** @returns AppError `text_refused` for the first of the texts that is refused. */
  find(inputs: readonly Uint32Array[]): AppError | undefined {
    if (this.#refusals.size === 0) return undefined; // the usual case costs no hash
    for (const ids of inputs) {
      const hash = hashOf(ids);
      const refusal = this.#refusals.get(hash);
      if (!refusal) continue;
      this.#refusals.delete(hash);
      this.#refusals.set(hash, refusal);
      return refusal;
    }
    return undefined;
  }
}

function hashOf(ids: Uint32Array): string {
  return createHash('sha256').update(ids).digest('hex');
}
