import { stat, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { AppError } from '@embergate/contracts/errors.ts';
import { embeddingSpaceSchema, spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import {
  defaultVariantOf,
  fileNameSchema,
  isDirect,
  nameOf,
  sha256Schema,
  variantsOf,
  type Device,
  type EmbeddingModel,
} from './catalog-schema.ts';
import { sha256OfFile } from './file-hash.ts';
import { variantFolder } from './model-layout.ts';
import { readCatalog } from './own-catalog.ts';

/** Written last: a folder with a manifest is complete. */
export const MANIFEST_FILE = 'embergate-model.json';
/** Goes up whenever a graph is built differently, so that older builds are built again. */
export const MANIFEST_VERSION = 1;

const REPAIR_ADVICE = 'A model of the catalog is repaired by: npx embergate model pull NAME';

export const manifestSchema = z.strictObject({
  manifestVersion: z.literal(MANIFEST_VERSION),
  name: z.string().min(1),
  space: embeddingSpaceSchema,
  maxTokens: z.int().positive(),
  padTokenId: z.int().nonnegative(),
  variant: z.string().min(1),
  onnxFile: fileNameSchema,
  /** The same model with attention in float16, over the same weights: what CUDA runs. Builds of before have none. */
  halfAttentionFile: fileNameSchema.optional(),
  tokenizerFile: fileNameSchema,
  files: z.array(
    z.strictObject({ path: fileNameSchema, bytes: z.int().nonnegative(), sha256: sha256Schema }),
  ),
  /** Of a build: the files of the checkout, as they were read. */
  origin: z
    .array(z.strictObject({ path: z.string(), bytes: z.int().nonnegative(), sha256: sha256Schema }))
    .optional(),
});
export type ModelManifest = z.infer<typeof manifestSchema>;

/** A model on this machine that can be run. */
export interface InstalledModel {
  name: string;
  space: EmbeddingSpace;
  /** Longest text in tokens, special ones included. */
  maxTokens: number;
  padTokenId: number;
  /** Precision: `fp32`. */
  variant: string;
  folder: string;
  /** Of all its files. */
  bytes: number;
  onnxPath: string;
  /** The graph for devices whose attention knows float16 only, where that is another one: {@link onnxPathOn}. */
  halfAttentionPath?: string;
  tokenizerPath: string;
  /** Numbers in the vectors that the graph makes; the space has fewer where they are cut. */
  graphDimensions: number;
  /** What its vectors may be cut to. */
  matryoshka: readonly number[];
}

/** Where models live unless MODEL_DIR says otherwise; `cacheHome` is XDG_CACHE_HOME, or LOCALAPPDATA on Windows. */
export function defaultModelDir(user: {
  platform: NodeJS.Platform;
  home: string;
  cacheHome?: string | undefined;
}): string {
  const byPlatform =
    user.platform === 'darwin'
      ? join(user.home, 'Library', 'Caches')
      : user.platform === 'win32'
        ? join(user.home, 'AppData', 'Local')
        : join(user.home, '.cache');
  return join(user.cacheHome || byPlatform, 'embergate', 'models');
}

export interface FindOptions {
  modelDir: string;
  /** A file with models of the user's: MODEL_CATALOG. */
  catalogFile?: string | undefined;
  /** Of several builds of a model, this one: EMBEDDING_VARIANT. */
  variant?: string | undefined;
  /** Shorter vectors than the model makes, where it was trained for them: EMBEDDING_DIMENSIONS. A space of their own. */
  dimensions?: number | undefined;
  /** Which one is preferred where no variant is named. Default `cpu`. */
  device?: Device | undefined;
}

/**
 * The installed model of that catalog name, or the one in that folder. Where no variant is named, it is the catalog's for the device,
 * else the first of its variants that is there: they share one space. Sizes are checked, sums are not: that is {@link verifyModel}.
 *
 * Errors: `model_not_installed` with the command that fetches it, `model_not_found` for what is neither in the catalog
 * nor a folder, `model_damaged` where the manifest or a file is not what it should be, `config_invalid` for a variant that the model
 * has not, a model that makes no vectors, or a wrong catalog of the user's.
 */
export async function findModel(nameOrFolder: string, options: FindOptions): Promise<InstalledModel> {
  const catalog = await readCatalog(options.catalogFile);
  const entry = catalog.find((model) => nameOf(model) === nameOrFolder);
  if (entry?.kind === 'reranker') {
    const advice = 'EMBEDDING_MODEL takes a model that does.';
    throw new AppError('config_invalid', `${nameOrFolder} is a reranker: it makes no vectors. ${advice}`);
  }
  if (entry) return cutTo(await findInCatalog(entry, options), options.dimensions);
  const folder = resolve(nameOrFolder);
  const manifest = await readManifest(folder);
  if (!manifest) {
    const what = `${JSON.stringify(nameOrFolder)} is neither a model of the catalog (${catalog.map(nameOf).join(', ')})`;
    throw new AppError('model_not_found', `${what} nor a folder with ${MANIFEST_FILE}.`);
  }
  const { variant = manifest.variant } = options;
  if (variant !== manifest.variant)
    throw new AppError('config_invalid', `The model in ${folder} is ${manifest.variant}, not ${variant}.`);
  return cutTo(await checked(manifest, folder), options.dimensions);
}

/** What a model is called that is served beside others: shorter vectors of one model are another space. */
export const servedName = (name: string, dimensions: number | undefined): string =>
  dimensions === undefined ? name : `${name}#${dimensions}`;

type Cuttable = Pick<InstalledModel, 'name' | 'space' | 'matryoshka'>;

/**
 * The model with vectors of so many dimensions. Errors: `config_invalid` where it has none such.
 * @internal
 */
export function cutTo<T extends Cuttable>(model: T, dimensions = model.space.dimensions): T {
  if (dimensions === model.space.dimensions) return model;
  if (model.matryoshka.includes(dimensions)) return { ...model, space: { ...model.space, dimensions } };
  const allowed = [model.space.dimensions, ...model.matryoshka].join(', ');
  const what = `EMBEDDING_DIMENSIONS is ${dimensions}, and ${model.name} has vectors of ${allowed} dimensions`;
  throw new AppError('config_invalid', `${what}.`);
}

async function findInCatalog(
  entry: EmbeddingModel,
  { modelDir, variant, device = 'cpu' }: FindOptions,
): Promise<InstalledModel> {
  const [name, offered] = [nameOf(entry), variantsOf(entry)];
  if (variant !== undefined && !offered.includes(variant)) {
    const what = `${name} has no variant ${JSON.stringify(variant)}`;
    throw new AppError('config_invalid', `${what}. It has: ${offered.join(', ')}.`);
  }
  const preferred = defaultVariantOf(entry, device);
  for (const candidate of variant === undefined ? [preferred, ...offered] : [variant]) {
    const found = await findBuild(entry, candidate, modelDir);
    if (found) return found;
  }
  const what = variant === undefined ? name : `${name} (${variant})`;
  const advice = `Fetch it with: npx embergate model pull ${name}${variant === undefined ? '' : ` --variant ${variant}`}`;
  throw new AppError('model_not_installed', `The model ${what} is not in ${modelDir}. ${advice}`);
}

/**
 * One variant of a model of the catalog; null where it is not installed.
 * Errors: `model_damaged`, also where it was built as another model than the catalog describes now.
 */
export async function findBuild(
  entry: EmbeddingModel,
  variant: string,
  modelDir: string,
): Promise<InstalledModel | null> {
  const folder = variantFolder(modelDir, entry, variant);
  const manifest = await readManifest(folder);
  if (!manifest) return null;
  const [built, described] = [spaceId(manifest.space), spaceId(entry.space)];
  if (built !== described) throw damaged(folder, `it was built for ${built}, the catalog says ${described}`);
  const matryoshka = isDirect(entry) ? [] : entry.matryoshka;
  return { ...(await checked(manifest, folder)), matryoshka };
}

async function checked(manifest: ModelManifest, folder: string): Promise<InstalledModel> {
  for (const file of manifest.files) await expectSize(folder, file);
  return describe(manifest, folder);
}

/**
 * Reads all files of a model again. Errors: `checksum_mismatch`, naming the file and both sums; `model_damaged` where a
 * file can't be read.
 */
export async function verifyModel(installed: InstalledModel): Promise<void> {
  const manifest = await readManifest(installed.folder);
  if (!manifest) throw damaged(installed.folder, `${MANIFEST_FILE} is missing`);
  for (const file of manifest.files) {
    const path = join(installed.folder, file.path);
    const found = await sha256OfFile(path).catch((cause: unknown) => {
      throw damaged(installed.folder, `${file.path} cannot be read`, cause);
    });
    if (found.sha256 !== file.sha256) {
      const sums = `its sha256 is ${found.sha256}, it should be ${file.sha256}`;
      throw new AppError('checksum_mismatch', `${path} is not what was installed: ${sums}. ${REPAIR_ADVICE}`);
    }
  }
}

/** The graph that a device runs: of decoders, onnxruntime's CUDA computes attention in float16 only. */
export function onnxPathOn(
  device: 'cpu' | 'cuda' | 'webgpu',
  { onnxPath, halfAttentionPath }: InstalledModel,
): string {
  return device === 'cuda' ? (halfAttentionPath ?? onnxPath) : onnxPath;
}

/** @internal */
export function describe(manifest: ModelManifest, folder: string): InstalledModel {
  const { name, space, maxTokens, padTokenId, variant } = manifest;
  const onnxPath = join(folder, manifest.onnxFile);
  const tokenizerPath = join(folder, manifest.tokenizerFile);
  const graphDimensions = space.dimensions;
  const { halfAttentionFile: half } = manifest;
  const halfAttention = half !== undefined && { halfAttentionPath: join(folder, half) };
  const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  const files = { folder, bytes, onnxPath, ...halfAttention, tokenizerPath };
  return { name, space, maxTokens, padTokenId, variant, ...files, graphDimensions, matryoshka: [] };
}

/** Null where the folder has none. Errors: `model_damaged`. */
export async function readManifest(folder: string): Promise<ModelManifest | null> {
  let text: string;
  try {
    text = await readFile(join(folder, MANIFEST_FILE), 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw damaged(folder, `${MANIFEST_FILE} cannot be read`, error);
  }
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (error) {
    throw damaged(folder, `${MANIFEST_FILE} is not a manifest of this version`, error);
  }
}

async function expectSize(folder: string, file: ModelManifest['files'][number]): Promise<void> {
  const found = await stat(join(folder, file.path)).catch(() => null);
  if (!found) throw damaged(folder, `${file.path} is missing`);
  if (found.size !== file.bytes)
    throw damaged(folder, `${file.path} has ${found.size} bytes instead of ${file.bytes}`);
}

function damaged(folder: string, what: string, cause?: unknown): AppError {
  return new AppError('model_damaged', `The model in ${folder} is damaged: ${what}. ${REPAIR_ADVICE}`, {
    cause,
  });
}
