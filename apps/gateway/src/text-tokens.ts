import type { Warning } from '@embergate/contracts/http-search.ts';
import type { InputType } from '@embergate/contracts/space.ts';
import { tokensAfterPrefixes } from '@embergate/embedding/padded-tokens.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import { promptPrefixes } from '@embergate/models/prompt-prefixes.ts';
import type { Tokenizer } from '@embergate/models/tokenizer.ts';
import { inSlices } from './slices.ts';

export interface TokenizedText {
  ids: Uint32Array;
  /** The text as the model reads it, for a tier that reads no ids. */
  prompted: string;
  warnings: Warning[];
}

export interface TokenizedList {
  inputs: Uint32Array[];
  prompted: string[];
  /** Of all texts together, prompts included. */
  tokens: number;
  /** Each once. */
  warnings: Warning[];
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

  encode(text: string, inputType: InputType): TokenizedText {
    const { space, name, maxTokens } = this.#model;
    const prompted = space.prompts[inputType] + text;
    const { ids, truncated } = this.#tokenizer.encode(prompted);
    const message = `${name} reads ${maxTokens} tokens; the rest of the text was left out.`;
    return { ids, prompted, warnings: truncated ? [{ code: 'query_truncated', message }] : [] };
  }

  /** Any number of texts: thousands take seconds, and whoever else wants this process gets on meanwhile. @param check ends it by throwing. */
  async encodeList(
    texts: readonly string[],
    inputType: InputType,
    check: () => void,
  ): Promise<TokenizedList> {
    const list: TokenizedList = { inputs: [], prompted: [], tokens: 0, warnings: [] };
    const add = (text: string): void => {
      const { ids, prompted, warnings } = this.encode(text, inputType);
      list.inputs.push(ids);
      list.prompted.push(prompted);
      list.tokens += ids.length;
      if (warnings.length > 0) list.warnings = warnings;
    };
    await inSlices(texts, add, check);
    return list;
  }
}
