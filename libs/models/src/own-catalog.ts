import { AppError } from '@embergate/contracts/errors.ts';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { CATALOG } from './catalog.ts';
import { nameOf, ownModelSchema, type CatalogModel } from './catalog-schema.ts';

const fileSchema = z.strictObject({ models: z.array(z.unknown()) });

/**
 * This version's models, and those of the user's file (MODEL_CATALOG), where there is one. Folders in it that are not absolute lie
 * beside the file. Errors: `config_invalid`, naming the file, the entry and the field.
 */
export async function readCatalog(file: string | undefined): Promise<readonly CatalogModel[]> {
  if (file === undefined) return CATALOG;
  const wrong = (what: string, cause?: unknown): AppError =>
    new AppError('config_invalid', `MODEL_CATALOG ${file}: ${what}`, { cause });
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw wrong(`it cannot be read (${(error as NodeJS.ErrnoException).code}).`, error);
  });
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw wrong(`it is not JSON: ${(error as Error).message}`, error);
  }
  const parsed = fileSchema.safeParse(content);
  if (!parsed.success) throw wrong(`it must be {"models": [...]}: ${issues(parsed.error)}`);
  const own = parsed.data.models.map((entry, index) => {
    const model = ownModelSchema.safeParse(entry);
    if (!model.success) throw wrong(`${entryName(entry, index)}: ${issues(model.error)}`);
    return besideFile(model.data, file);
  });
  const known = new Set(CATALOG.map(nameOf));
  for (const [index, model] of own.entries()) {
    const name = nameOf(model);
    if (known.has(name))
      throw wrong(`${entryName(model, index)}: the name is taken already. Choose another one.`);
    known.add(name);
  }
  return [...CATALOG, ...own];
}

function besideFile<T extends { sources: { folder?: string | undefined } }>(model: T, file: string): T {
  const { folder } = model.sources;
  if (folder === undefined) return model;
  return { ...model, sources: { ...model.sources, folder: resolve(dirname(file), folder) } };
}

/** As somebody finds it in the file. */
function entryName(entry: unknown, index: number): string {
  const { name, space } = (entry ?? {}) as { name?: unknown; space?: { model?: unknown } };
  const said = name ?? space?.model;
  return `entry ${index + 1}${typeof said === 'string' ? ` (${said})` : ''}`;
}

const issues = (error: z.ZodError): string =>
  error.issues.map(({ path, message }) => `${path.map(String).join('.') || 'it'}: ${message}`).join('; ');
