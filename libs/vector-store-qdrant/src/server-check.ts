import type { QdrantClient } from '@qdrant/js-client-rest';
import { AppError } from '@embergate/contracts/errors.ts';
import { describeFailure, retrying, toStoreError } from './failures.ts';

/** The first that keeps metadata of a collection. */
const LEAST = [1, 16];

/**
 * Looks whether the server can be worked with. One that is away now may come, and is no failure here.
 *
 * @throws AppError `config_invalid` where it refuses the key, is too old, or is no Qdrant.
 */
export async function checkServer(client: QdrantClient, url: string): Promise<void> {
  try {
    await retrying(() => client.getCollections());
    const { version } = await retrying(() => client.versionInfo());
    if (!isRecent(version))
      throw new AppError(
        'config_invalid',
        `The Qdrant at ${url} is ${version}; Embergate needs ${LEAST.join('.')} or newer.`,
      );
  } catch (error) {
    if (error instanceof AppError) throw error;
    const { status } = describeFailure(error);
    const { code, message } = toStoreError(error, null);
    if (code === 'store_denied')
      throw new AppError(
        'config_invalid',
        `${message}. Set QDRANT_API_KEY to a key of the Qdrant at ${url}.`,
        { cause: error },
      );
    if (status === 404)
      throw new AppError(
        'config_invalid',
        `There is no Qdrant at ${url}: it answers 404. Check the path of QDRANT_URL.`,
        { cause: error },
      );
  }
}

/** What no version can be read from is taken for a build of somebody's own. */
function isRecent(version: string): boolean {
  const [major, minor] = version.split('.').map(Number);
  if (major === undefined || minor === undefined || Number.isNaN(major + minor)) return true;
  const [leastMajor = 0, leastMinor = 0] = LEAST;
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}
