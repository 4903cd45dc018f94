import type { EmbergateClient } from '@embergate/client/client.ts';
import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import { isEnded, type IndexJob } from '@embergate/contracts/index-job.ts';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { indexProgressView } from '../progress.ts';

interface IndexOptions<T> {
  collection: string;
  /** Where the temporary folder is made; the gateway must be allowed to index it. */
  workDir: string;
  /** Leaves the collection for a look. */
  keep: boolean;
  signal: AbortSignal;
  /** Writes what is to be indexed. */
  fill: (folder: string) => Promise<void>;
  /** So many files have to be in the index: a part of them would be another haystack. */
  files: number;
  use: (job: IndexJob) => Promise<T>;
}

const REPO = 'eval';

/**
 * Has a folder filled, indexes it as any folder is indexed, hands over to `use` and tidies up, whatever happened.
 * @throws AppError `usage` where the collection is somebody else's, `gateway_unreachable`, `source_not_allowed`, `index_failed` or the
 * job's own code.
 */
export async function withIndexedFolder<T>(
  client: EmbergateClient,
  { collection, workDir, keep, signal, fill, files, use }: IndexOptions<T>,
): Promise<T> {
  await refuseForeign(client, collection);
  await mkdir(workDir, { recursive: true });
  const folder = await mkdtemp(join(workDir, 'eval-'));
  let indexed = false;
  try {
    await fill(folder);
    signal.throwIfAborted();
    const { id } = await createJob(client, folder, collection);
    indexed = true;
    const job = await follow(client, id, signal);
    if (job.progress.files < files) {
      throw new AppError(
        'index_failed',
        `${job.progress.files} of ${files} files were indexed: ${leftOut(job)}`,
      );
    }
    return await use(job);
  } finally {
    await rm(folder, { recursive: true, force: true });
    if (indexed && !keep) await deleteCollection(client, collection);
  }
}

/** What somebody else has put into a collection is neither searched along nor deleted. */
async function refuseForeign(client: EmbergateClient, collection: string): Promise<void> {
  const { repos } = await client.collection(collection).catch((thrown: unknown) => {
    if (toAppError(thrown).code === 'collection_not_found') return { repos: [] };
    throw thrown;
  });
  const others = repos.map(({ name }) => name).filter((name) => name !== REPO);
  if (others.length === 0) return;
  throw new AppError(
    'usage',
    `The collection ${collection} holds ${others.join(', ')}, which eval has not put there. Choose another --seed, or leave --keep out.`,
  );
}

async function createJob(client: EmbergateClient, folder: string, collection: string): Promise<IndexJob> {
  try {
    return await client.createIndexJob({
      source: { type: 'directory', path: folder },
      collection,
      repo: REPO,
    });
  } catch (thrown) {
    const error = toAppError(thrown);
    if (error.code !== 'source_not_allowed' && error.code !== 'source_not_found') throw error;
    const advice =
      'Name a folder that the gateway may index with --work-dir, or run eval where the gateway runs.';
    throw new AppError(error.code, `${error.message} ${advice}`, { cause: error });
  }
}

async function follow(client: EmbergateClient, id: string, signal: AbortSignal): Promise<IndexJob> {
  const view = indexProgressView();
  let job: IndexJob | undefined;
  try {
    for await (job of client.watchIndexJob(id, signal)) view.show(job);
  } catch (error) {
    // Nothing is left to a job whose folder is about to go.
    await cancelled(client, id).catch(() => undefined);
    throw error;
  } finally {
    view.end();
  }
  if (job?.state !== 'completed') {
    throw new AppError(
      'index_failed',
      job?.error?.message ?? `The index job ${id} was ${job?.state ?? 'lost'}.`,
    );
  }
  return job;
}

/** Cancels a job and waits for its end. */
async function cancelled(client: EmbergateClient, id: string): Promise<void> {
  await client.cancelIndexJob(id);
  for await (const { state } of client.watchIndexJob(id, AbortSignal.timeout(10_000)))
    if (isEnded(state)) return;
}

async function deleteCollection(client: EmbergateClient, collection: string): Promise<void> {
  try {
    await client.deleteCollection(collection);
  } catch (thrown) {
    const error = toAppError(thrown);
    if (error.code === 'collection_not_found') return;
    process.stderr.write(`The collection ${collection} was not deleted: ${error.code}: ${error.message}\n`);
  }
}

const leftOut = ({ skippedFiles }: IndexJob): string =>
  skippedFiles
    .slice(0, 3)
    .map(({ path, reason }) => `${path} (${reason})`)
    .join(', ') || 'nothing says why; is --work-dir inside a repository that ignores it?';
