import type { InputType } from '@embergate/contracts/space.ts';
import type { EmbeddingBackend } from '@embergate/embedding/backend.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import type { Tokenizer } from '@embergate/models/tokenizer.ts';

/** A model that is loaded. */
export interface VerifiableModel {
  model: InstalledModel;
  tokenizer: Tokenizer;
  backend: EmbeddingBackend;
}

export interface VerifyText {
  text: string;
  /** Which of the space's prompts is put before it. */
  inputType: InputType;
}

export interface EmbeddedTexts {
  /** Of each text, prompt and special tokens included. */
  ids: Uint32Array[];
  /** texts x dimensions, row by row. */
  vectors: Float32Array;
}

/** Each text alone. @throws the signal's reason; what the backend throws. */
export async function embedTexts(
  loaded: VerifiableModel,
  texts: readonly VerifyText[],
  { signal, onText }: { signal: AbortSignal; onText: () => void },
): Promise<EmbeddedTexts> {
  const { space } = loaded.model;
  const { dimensions } = space;
  const ids = texts.map(
    ({ text, inputType }) => loaded.tokenizer.encode(space.prompts[inputType] + text).ids,
  );
  const vectors = new Float32Array(texts.length * dimensions);
  for (const [at, one] of ids.entries()) {
    signal.throwIfAborted();
    vectors.set((await loaded.backend.embed([one])).vectors, at * dimensions);
    onText();
  }
  return { ids, vectors };
}
