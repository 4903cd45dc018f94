import { createHash, randomBytes } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bertGraph } from './bert-graph.ts';
import type { DirectModel } from './catalog-schema.ts';
import {
  describe,
  MANIFEST_FILE,
  MANIFEST_VERSION,
  type InstalledModel,
  type ModelManifest,
} from './installed-model.ts';
import { encodeOnnxModel } from './onnx-writer.ts';
import { refused } from './partial-file.ts';
import { readSafetensors } from './safetensors.ts';

export const ONNX_FILE = 'model.onnx';

/** What a build needs to know of a model. */
export type DirectBuild = Omit<DirectModel, 'kind' | 'license' | 'sources'>;

/**
 * Writes the ONNX graph beside the downloaded files, and then the manifest that makes the folder an installed model.
 * The files must have been verified. Errors: `model_damaged`, `storage_full`.
 */
export async function buildModel(model: DirectBuild, folder: string): Promise<InstalledModel> {
  const tensors = await readSafetensors(join(folder, model.weights));
  const onnx = encodeOnnxModel(await bertGraph(model.architecture, { file: model.weights, tensors }));
  const built = await writeWhole(folder, ONNX_FILE, onnx);
  const manifest: ModelManifest = {
    manifestVersion: MANIFEST_VERSION,
    name: model.space.model,
    space: model.space,
    maxTokens: model.maxTokens,
    padTokenId: model.padTokenId,
    variant: 'fp32',
    onnxFile: ONNX_FILE,
    tokenizerFile: model.tokenizer,
    files: [...model.files, built],
  };
  await writeManifest(folder, manifest);
  return describe(manifest, folder);
}

/** Makes a folder an installed model. Errors: `storage_full`. */
export async function writeManifest(folder: string, manifest: ModelManifest): Promise<void> {
  await writeWhole(folder, MANIFEST_FILE, Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));
}

/** All or nothing, whoever else writes the same file at the same time. @returns what a manifest says of it. */
export async function writeWhole(
  folder: string,
  name: string,
  content: Buffer,
): Promise<ModelManifest['files'][number]> {
  const temporary = join(folder, `.${name}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`);
  try {
    await writeFile(temporary, content, { flush: true });
    await rename(temporary, join(folder, name));
    const sha256 = createHash('sha256').update(content).digest('hex');
    return { path: name, bytes: content.length, sha256 };
  } catch (error) {
    await rm(temporary, { force: true });
    return refused(folder)(error);
  }
}
