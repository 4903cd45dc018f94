import { stat, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { AppError } from '@embergate/contracts/errors.ts';
import { embeddingSpaceSchema, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import { CATALOG, catalogModel, shortRevision } from './catalog.ts';
import { sha256OfFile } from './file-hash.ts';

/** Written last: a folder with a manifest is complete. */
export const MANIFEST_FILE = 'embergate-model.json';
/** Goes up whenever a graph is built differently, so that older builds are built again. */
export const MANIFEST_VERSION = 1;

const REPAIR_ADVICE = 'A model of the catalog is repaired by: npx embergate model pull NAME';

const fileNameSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/);

export const manifestSchema = z.strictObject({
  manifestVersion: z.literal(MANIFEST_VERSION),
  name: z.string().min(1),
  space: embeddingSpaceSchema,
  maxTokens: z.int().positive(),
  padTokenId: z.int().nonnegative(),
  variant: z.string().min(1),
  onnxFile: fileNameSchema,
  tokenizerFile: fileNameSchema,
  files: z.array(
    z.strictObject({
      path: fileNameSchema,
      bytes: z.int().nonnegative(),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  ),
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
  onnxPath: string;
  tokenizerPath: string;
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

/** The folder of one revision of a model of the catalog. */
export function modelFolder(modelDir: string, space: EmbeddingSpace): string {
  return join(modelDir, space.model, shortRevision(space));
}

/**
 * The installed model of that catalog name, or the one in that folder. Sizes are checked, sums are not: that is
 * {@link verifyModel}.
 *
 * Errors: `model_not_installed` with the command that fetches it, `model_not_found` for what is neither in the catalog
 * nor a folder, `model_damaged` where the manifest or a file is not what it should be.
 */
export async function findModel(
  nameOrFolder: string,
  options: { modelDir: string },
): Promise<InstalledModel> {
  const inCatalog = CATALOG.some((entry) => entry.space.model === nameOrFolder);
  const folder = inCatalog
    ? modelFolder(options.modelDir, catalogModel(nameOrFolder).space)
    : resolve(nameOrFolder);
  const manifest = await readManifest(folder);
  if (!manifest && inCatalog) {
    const advice = `Fetch it with: npx embergate model pull ${nameOrFolder}`;
    throw new AppError(
      'model_not_installed',
      `The model ${nameOrFolder} is not in ${options.modelDir}. ${advice}`,
    );
  }
  if (!manifest) {
    const known = CATALOG.map((entry) => entry.space.model).join(', ');
    const what = `${JSON.stringify(nameOrFolder)} is neither a model of the catalog (${known})`;
    throw new AppError('model_not_found', `${what} nor a folder with ${MANIFEST_FILE}.`);
  }
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

/** @internal */
export function describe(manifest: ModelManifest, folder: string): InstalledModel {
  const { name, space, maxTokens, padTokenId, variant } = manifest;
  const onnxPath = join(folder, manifest.onnxFile);
  const tokenizerPath = join(folder, manifest.tokenizerFile);
  return { name, space, maxTokens, padTokenId, variant, folder, onnxPath, tokenizerPath };
}

async function readManifest(folder: string): Promise<ModelManifest | null> {
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
