import { OnnxBackend } from '@embergate/embedding-onnx/onnx-backend.ts';
import { withVectorsOf } from '@embergate/embedding/matryoshka.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import { isDecoder, promptPrefixes } from '@embergate/models/prompt-prefixes.ts';
import { loadTokenizer } from '@embergate/models/tokenizer.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import type { VerifiableModel } from './verify/embed-texts.ts';

/** Loads a model on the CPU, as a worker does. Errors: `model_damaged`. */
export async function openOnCpu(model: InstalledModel): Promise<VerifiableModel> {
  const { onnxPath, padTokenId, space, maxTokens, graphDimensions } = model;
  const tokenizer = await loadTokenizer(model.tokenizerPath, { maxTokens });
  const backend = await OnnxBackend.create({
    onnxPath,
    dimensions: graphDimensions,
    padTokenId,
    isDecoder: isDecoder(space),
    prefixes: promptPrefixes(space, tokenizer),
    log: createLogger('verify', 'warn'),
  });
  return { model, tokenizer, backend: withVectorsOf(backend, space.dimensions) };
}
