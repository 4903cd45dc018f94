import { readFile } from 'node:fs/promises';

/** A worker that compares itself with the collections embeds so many of their texts, in the bulk lane. */
const CANARIES = 8;

/**
 * Texts that a worker's model has computed in the bulk lane for index jobs, all of its lives together: it writes a line into its log
 * after each batch, and waits until that is written. What a kill cut off had no vector.
 */
export async function embeddedTexts(workerLog: string): Promise<number> {
  let texts = 0;
  for (const line of (await readFile(workerLog, 'utf8')).split('\n')) {
    if (line.includes('"msg":"batch computed"') && line.includes('"lane":"bulk"'))
      texts += Number(/"texts":(\d+)/.exec(line)?.[1] ?? 0);
    if (line.includes('"msg":"the model agrees with the collections"')) texts -= CANARIES;
  }
  return texts;
}
