import { AppError } from '@embergate/contracts/errors.ts';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

/** A text and the vector that a model's own code makes of it. */
const goldenSchema = z.object({
  text: z.string(),
  /** Which of the model's prompts is put before it. */
  inputType: z.enum(['query', 'document']).default('document'),
  /** What the model's own tokenizer makes of it, prompt and special tokens included. */
  ids: z.array(z.int().nonnegative()).min(1).optional(),
  vector: z.array(z.number()).min(1),
});
export type Golden = z.infer<typeof goldenSchema>;

const FOLDER = new URL('../goldens/', import.meta.url);

/** The goldens that come with Embergate for a model of the catalog; null where there are none. */
export async function shippedGoldens(model: string): Promise<Golden[] | null> {
  const path = fileURLToPath(new URL(`${encodeURIComponent(model)}.json`, FOLDER));
  return readGoldens(path).catch((error: unknown) => {
    if (error instanceof AppError && error.code === 'source_not_found') return null;
    throw error;
  });
}

/**
 * Reads a JSON list of goldens. Errors: `source_not_found` where the file is not there, `invalid_request` where it is no such list.
 */
export async function readGoldens(path: string): Promise<Golden[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new AppError('source_not_found', `${path} cannot be read.`, { cause: error });
  }
  try {
    return z.array(goldenSchema).min(1).parse(JSON.parse(text));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new AppError('invalid_request', `${path} is no list of goldens: ${why}`, { cause: error });
  }
}
