import { QdrantServer } from '@embergate/testing/qdrant-server.ts';
import { RunningEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { SAMPLE_FILES, writeFiles } from '@embergate/testing/sample-project.ts';
import { StoreProxy } from '@embergate/testing/store-proxy.ts';
import { connect } from '@embergate/vector-store-qdrant/connection.ts';
import { join } from 'node:path';

/** Path of a Qdrant server, which is no package: https://github.com/qdrant/qdrant/releases. */
export const QDRANT_BINARY = process.env['QDRANT_BINARY'] ?? '';
const API_KEY = 'key-of-the-tests';

export type Page = Awaited<ReturnType<ReturnType<typeof connect>['scroll']>>;

/** A whole Embergate on a real Qdrant, with a proxy between the two. */
export interface OnQdrant {
  home: Awaited<ReturnType<typeof temporaryFolder>>;
  qdrant: QdrantServer;
  proxy: StoreProxy;
  embergate: RunningEmbergate;
  /** Asks Qdrant itself. */
  client: ReturnType<typeof connect>;
  /** The folder that is indexed as the default collection. */
  sample: string;
  stop: () => Promise<void>;
}

export async function startOnQdrant(): Promise<OnQdrant> {
  const closing: (() => Promise<unknown> | void)[] = [];
  const stop = async (): Promise<void> => {
    for (const close of closing.splice(0).reverse()) await close();
  };
  try {
    const home = await temporaryFolder('qdrant');
    closing.push(() => home.remove());
    const sample = join(home.path, 'sample');
    await writeFiles(sample, SAMPLE_FILES);
    const env = { QDRANT__SERVICE__API_KEY: API_KEY };
    const qdrant = await QdrantServer.start({
      ...{ binary: QDRANT_BINARY, folder: join(home.path, 'qdrant'), env },
    });
    closing.push(() => qdrant.kill());
    const proxy = await StoreProxy.start(qdrant.url);
    closing.push(() => proxy.close());
    const client = connect({ url: qdrant.url, apiKey: API_KEY }, 60_000);
    const embergate = await RunningEmbergate.start({
      source: sample,
      env: { QDRANT_URL: proxy.url, QDRANT_API_KEY: API_KEY, LOG_LEVEL: 'error' },
    });
    closing.push(() => embergate.dispose());
    return { home, qdrant, proxy, embergate, client, sample, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Python files with one function each, by their paths. */
export const functions = (count: number): Record<string, string> =>
  Object.fromEntries(
    Array.from({ length: count }, (_, n) => [
      `pkg/f${n}.py`,
      `def compute_${n}(values, offset=${n}):\n    """Adds ${n} to the sum of all values."""\n` +
        `    total = sum(value * ${n} for value in values if value is not None)\n    return total + offset_${n}\n`,
    ]),
  );
