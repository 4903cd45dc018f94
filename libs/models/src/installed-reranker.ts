import { AppError } from '@embergate/contracts/errors.ts';
import { readFile, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { fileNameSchema, nameOf, sha256Schema, variantsOf, type CatalogModel } from './catalog-schema.ts';
import { readJson } from './checkpoint.ts';
import { sha256OfFile } from './file-hash.ts';
import { variantFolder } from './model-layout.ts';
import { readCatalog } from './own-catalog.ts';

/** Written last: a folder with it holds a complete cross-encoder. */
export const RERANKER_MANIFEST_FILE = 'embergate-reranker.json';
/** Goes up whenever a graph is built differently. */
export const RERANKER_MANIFEST_VERSION = 1;

const manifestSchema = z.strictObject({
  manifestVersion: z.literal(RERANKER_MANIFEST_VERSION),
  kind: z.literal('cross-encoder'),
  name: z.string().min(1),
  /** Longest pair in tokens, special ones included. */
  maxTokens: z.int().positive(),
  padTokenId: z.int().nonnegative(),
  variant: z.string().min(1),
  onnxFile: fileNameSchema,
  tokenizerFile: fileNameSchema,
  files: z.array(
    z.strictObject({ path: fileNameSchema, bytes: z.int().nonnegative(), sha256: sha256Schema }),
  ),
});
export type RerankerManifest = z.infer<typeof manifestSchema>;

/** A cross-encoder on this machine that can be run. */
export interface InstalledReranker {
  name: string;
  variant: string;
  folder: string;
  maxTokens: number;
  padTokenId: number;
  onnxPath: string;
  tokenizerPath: string;
}

/** Where a Hugging Face checkout has its ONNX model. */
const ONNX_FILES = ['model.onnx', 'onnx/model.onnx'];
/** A pair is read up to here where the model's own files do not say less. */
const MAX_TOKENS = 512;

/**
 * The cross-encoder of that catalog name, at the first of its variants that is installed, or the one in that folder: one that `model build`
 * made, or somebody else's ONNX model with its `tokenizer.json`. Of a build all files are read and their sums compared.
 * Errors: `model_not_installed` with the command that fetches it, `model_not_found` for what is neither, `config_invalid` for a model of the
 * catalog that is no cross-encoder, `model_damaged`, `checksum_mismatch`.
 */
export async function findReranker(
  nameOrFolder: string,
  { modelDir, catalogFile }: { modelDir: string; catalogFile: string | undefined },
): Promise<InstalledReranker> {
  const entry = (await readCatalog(catalogFile)).find((model) => nameOf(model) === nameOrFolder);
  if (entry) return findInCatalog(entry, modelDir);
  const folder = resolve(nameOrFolder);
  const manifest = await readManifest(folder);
  if (manifest) return verified(manifest, folder);
  for (const file of ONNX_FILES) {
    if (await isFile(join(folder, file))) return ownModel(folder, file);
  }
  const hasWeights = await isFile(join(folder, 'config.json'));
  const what = `RERANKER is ${JSON.stringify(nameOrFolder)}, and ${folder} holds no cross-encoder`;
  const advice = hasWeights
    ? `Build it first: npx embergate model build ${folder} --variant fp32 --out FOLDER, and name that folder.`
    : `It takes none, chat, a name of the catalog, or a folder with ${RERANKER_MANIFEST_FILE}, or with model.onnx and tokenizer.json.`;
  throw new AppError('model_not_found', `${what}. ${advice}`);
}

async function findInCatalog(entry: CatalogModel, modelDir: string): Promise<InstalledReranker> {
  const name = nameOf(entry);
  if (entry.kind === 'embedding')
    throw new AppError('config_invalid', `RERANKER is "${name}", which makes vectors: it is no reranker.`);
  if (!entry.crossEncoder) {
    const advice =
      'It is a language model, which is not run here: serve it, and set RERANKER=chat and RERANK_URL.';
    throw new AppError('config_invalid', `RERANKER is "${name}". ${advice}`);
  }
  for (const variant of variantsOf(entry)) {
    const found = await findRerankerBuild(entry, variant, modelDir);
    if (found) return found;
  }
  const advice = `Fetch it with: npx embergate model pull ${name}`;
  throw new AppError('model_not_installed', `The reranker ${name} is not in ${modelDir}. ${advice}`);
}

/** One variant of a cross-encoder of the catalog; null where it is not installed. Errors: `model_damaged`, `checksum_mismatch`. */
export async function findRerankerBuild(
  entry: CatalogModel,
  variant: string,
  modelDir: string,
): Promise<InstalledReranker | null> {
  const folder = variantFolder(modelDir, entry, variant);
  const manifest = await readManifest(folder);
  return manifest && verified(manifest, folder);
}

async function readManifest(folder: string): Promise<RerankerManifest | null> {
  const text = await readFile(join(folder, RERANKER_MANIFEST_FILE), 'utf8').catch(() => null);
  if (text === null) return null;
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (error) {
    throw damaged(folder, `${RERANKER_MANIFEST_FILE} is not a manifest of this version`, error);
  }
}

async function verified(manifest: RerankerManifest, folder: string): Promise<InstalledReranker> {
  for (const { path, sha256 } of manifest.files) {
    const found = await sha256OfFile(join(folder, path)).catch((error: unknown) => {
      throw damaged(folder, `${path} cannot be read`, error);
    });
    if (found.sha256 !== sha256)
      throw new AppError(
        'checksum_mismatch',
        `${join(folder, path)} is not what was built: its sha256 is ${found.sha256}, it should be ${sha256}. Build it again.`,
      );
  }
  return describeReranker(manifest, folder);
}

/** @internal */
export function describeReranker(manifest: RerankerManifest, folder: string): InstalledReranker {
  const { name, variant, maxTokens, padTokenId, onnxFile, tokenizerFile } = manifest;
  const paths = { folder, onnxPath: join(folder, onnxFile), tokenizerPath: join(folder, tokenizerFile) };
  return { name, variant, maxTokens, padTokenId, ...paths };
}

const lengthsSchema = z.object({ model_max_length: z.number().positive().optional() });
const configSchema = z.object({
  max_position_embeddings: z.int().positive().optional(),
  pad_token_id: z.int().nonnegative().nullish(),
});

/** As far as its own files say what it reads. Whether its graph ranks pairs is seen when it is opened. */
async function ownModel(folder: string, file: string): Promise<InstalledReranker> {
  const tokenizerPath = join(folder, 'tokenizer.json');
  if (!(await isFile(tokenizerPath))) throw damaged(folder, 'tokenizer.json is missing');
  const lengths = await readJson(join(folder, 'tokenizer_config.json'), lengthsSchema);
  const config = await readJson(join(folder, 'config.json'), configSchema);
  const told = [lengths?.model_max_length, config?.max_position_embeddings, MAX_TOKENS];
  return {
    name: basename(folder),
    variant: 'onnx',
    folder,
    maxTokens: Math.min(...told.filter((length) => length !== undefined)),
    padTokenId: config?.pad_token_id ?? 0,
    onnxPath: join(folder, file),
    tokenizerPath,
  };
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isFile(),
    () => false,
  );

const damaged = (folder: string, what: string, cause?: unknown): AppError =>
  new AppError('model_damaged', `The reranker in ${folder} is damaged: ${what}.`, { cause });
