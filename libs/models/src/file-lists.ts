import { AppError } from '@embergate/contracts/errors.ts';
import { z } from 'zod';
import { checkoutFiles, isCheckoutFile, isWeights } from './checkout-files.ts';
import type { ExpectedFile } from './expected-file.ts';
import { failed, getSize, getText } from './http-get.ts';

/** Beside the files of a checkout: lines as sha256sum writes them. */
export const SUMS_FILE = 'SHA256SUMS';

/** A list comes from elsewhere, and decides how much is fetched and written. */
const MAX_LIST_BYTES = 8 * 1024 * 1024;
const MAX_PAGES = 20;
const MAX_FILES = 2_000;
const MAX_WEIGHT_BYTES = 200e9;
const MAX_OTHER_BYTES = 256e6;

const sha1 = z.string().regex(/^[0-9a-f]{40}$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const bytes = z.int().nonnegative();
/** What the hub's API says of an entry of a tree; folders and what is not known are passed over. */
const treeSchema = z.array(
  z.union([
    z.object({
      type: z.literal('file'),
      path: z.string(),
      size: bytes,
      oid: sha1,
      lfs: z.object({ oid: sha256, size: bytes }).nullish(),
    }),
    z.object({ type: z.string().refine((type) => type !== 'file') }).transform(() => null),
  ]),
);

/**
 * The files of one commit, as a hub lists them. Large ones lie in its file storage under their sha256, small ones in git.
 * @param base of the hub. Errors: `model_download_failed`; the signal's reason.
 */
export async function hubFiles(
  base: string,
  { repository, revision }: { repository: string; revision: string },
  signal: AbortSignal | undefined,
): Promise<ExpectedFile[]> {
  const first = new URL(`${base}/api/models/${repository}/tree/${revision}?recursive=true`);
  const files: ExpectedFile[] = [];
  let page: URL | null = first;
  for (let pages = 0; page !== null; pages++) {
    if (pages === MAX_PAGES) throw failed(`the list of its files has more than ${MAX_PAGES} pages`);
    const { text, next }: { text: string; next: string | null } = await getText(page, {
      maxBytes: MAX_LIST_BYTES,
      signal,
    });
    for (const entry of parseTree(text)) {
      if (!entry || !('path' in entry)) continue;
      const { path, oid, lfs } = entry;
      files.push(lfs ? { path, bytes: lfs.size, sha256: lfs.oid } : { path, bytes: entry.size, gitOid: oid });
    }
    page = next === null ? null : new URL(next, page);
    if (page !== null && page.origin !== first.origin)
      throw failed(`the list of its files goes on at ${page.origin}`);
  }
  return expectReasonable(checkoutFiles(files));
}

function parseTree(text: string): z.infer<typeof treeSchema> {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw failed('the list of its files is not JSON', { cause: error });
  }
  const parsed = treeSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  throw failed(`the list of its files is not one of a hub: ${z.prettifyError(parsed.error)}`);
}

/**
 * The files beside a SHA256SUMS on a web server; it is asked how large they are.
 * @param base the folder. Errors: `model_download_failed`; the signal's reason.
 */
export async function mirrorFiles(base: string, signal: AbortSignal | undefined): Promise<ExpectedFile[]> {
  const { text } = await getText(new URL(`${base}/${SUMS_FILE}`), { maxBytes: MAX_LIST_BYTES, signal });
  const sums = parseSums(text);
  if (sums.size > MAX_FILES) throw failed(`${SUMS_FILE} names more than ${MAX_FILES} files`);
  const files: ExpectedFile[] = [];
  for (const [path, sum] of sums)
    files.push({ path, sha256: sum, bytes: await getSize(new URL(`${base}/${path}`), signal) });
  return expectReasonable(checkoutFiles(files));
}

/** Path -> sha256 of the files that a model is built from. Errors: `model_download_failed`. */
export function parseSums(text: string): Map<string, string> {
  const sums = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const [, sum = '', path = ''] = /^([0-9a-f]{64}) [ *](?:\.\/)?(.+)$/.exec(line) ?? [];
    if (!isCheckoutFile(path)) continue;
    if (sums.has(path)) throw failed(`${SUMS_FILE} names ${path} twice`);
    sums.set(path, sum);
  }
  return sums;
}

export const formatSums = (files: readonly { path: string; sha256: string }[]): string =>
  files.map(({ path, sha256: sum }) => `${sum}  ${path}\n`).join('');

/** Errors: `model_download_failed` where a list holds no model, or more than any model has. */
export function expectReasonable<T extends { path: string; bytes: number }>(files: T[]): T[] {
  if (files.length > MAX_FILES) throw failed(`the list names more than ${MAX_FILES} files`);
  const paths = files.map(({ path }) => path);
  const twice = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twice !== undefined) throw failed(`the list names ${twice} twice`);
  const weights = files.filter(({ path }) => isWeights(path));
  const total = weights.reduce((sum, file) => sum + file.bytes, 0);
  const large = files.find((file) => !isWeights(file.path) && file.bytes > MAX_OTHER_BYTES);
  if (total > MAX_WEIGHT_BYTES) throw failed(`its weights have ${total} bytes, which no model has`);
  if (large) throw failed(`${large.path} has ${large.bytes} bytes, which is too much`);
  for (const needed of ['config.json', 'tokenizer.json'])
    if (!files.some(({ path }) => path === needed)) throw failed(`the list has no ${needed}`);
  if (weights.length === 0) throw failed('the list has no safetensors; other weights are never read');
  return files;
}

/**
 * The list with the sums that are known beforehand in their place.
 * Errors: `checksum_mismatch` where the list claims another sum, `model_download_failed` where it lacks such a file.
 */
export function withKnownSums(
  files: readonly ExpectedFile[],
  sums: Readonly<Record<string, string>>,
): ExpectedFile[] {
  for (const path of Object.keys(sums))
    if (!files.some((file) => file.path === path)) throw failed(`the list has no ${path}`);
  return files.map((file) => {
    const known = sums[file.path];
    if (known === undefined || file.sha256 === known) return file;
    if (file.sha256 === undefined) return { path: file.path, bytes: file.bytes, sha256: known };
    const claim = `its list says sha256 ${file.sha256}, the catalog says ${known}`;
    throw new AppError('checksum_mismatch', `${file.path} is another file there: ${claim}`);
  });
}
