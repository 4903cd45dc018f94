import type { Warning } from '@embergate/contracts/http-search.ts';
import type { InputType } from '@embergate/contracts/space.ts';
import { tokensAfterPrefixes } from '@embergate/embedding/padded-tokens.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import { promptPrefixes } from '@embergate/models/prompt-prefixes.ts';
import type { Tokenizer } from '@embergate/models/tokenizer.ts';

export interface Tokenized {
  inputs: Uint32Array[];
  /** The same texts as the model reads them, for a tier that reads no ids. */
  prompted: string[];
  /** Of all texts together, prompts included. */
  tokens: number;
  warnings: Warning[];
  ms: number;
}

/** Texts as the model reads them: its own prompt before each, cut to what it can read. */
export class TextTokens {
  readonly #model: InstalledModel;
  readonly #tokenizer: Tokenizer;
  readonly #prefixes: readonly Uint32Array[];

  constructor(model: InstalledModel, tokenizer: Tokenizer) {
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#prefixes = promptPrefixes(model.space, tokenizer);
  }

  /** Tokens that a model must compute for a text. */
  costOf(ids: Uint32Array): number {
    return tokensAfterPrefixes([ids], this.#prefixes);
  }

  encode(texts: readonly string[], inputType: InputType): Tokenized {
    const startedAt = performance.now();
    const { space, name, maxTokens } = this.#model;
    let tokens = 0;
    let isCut = false;
    const prompted = texts.map((text) => space.prompts[inputType] + text);
    const inputs = prompted.map((text) => {
      const encoded = this.#tokenizer.encode(text);
      tokens += encoded.ids.length;
      isCut ||= encoded.truncated;
      return encoded.ids;
    });
    const message = `${name} reads ${maxTokens} tokens; the rest of the text was left out.`;
    const warnings = isCut ? [{ code: 'query_truncated', message }] : [];
    return { inputs, prompted, tokens, warnings, ms: performance.now() - startedAt };
  }
}
