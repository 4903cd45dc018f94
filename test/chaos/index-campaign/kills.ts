import { signalIfThere } from '@embergate/testing/frozen-processes.ts';
import type { QdrantServer } from '@embergate/testing/qdrant-server.ts';
import type { RunningCluster } from '@embergate/testing/running-cluster.ts';

export interface Kill {
  kind: string;
  /** Texts that may have to be embedded once more because of it: those under way, and no others. */
  inFlightTexts: number;
  /** Kills the process with -9; resolves when it has been started again. */
  strike: (cluster: RunningCluster, qdrant: QdrantServer | null) => Promise<void>;
}

/** As the indexer has it: batches of 256 chunks of which three are under way, and jobs of 64 texts of which four are. */
const BATCHES = 3 * 256;
const JOBS = 4 * 64;

export const KILLS: readonly Kill[] = [
  // With LanceDB it is also the store's writer.
  { kind: 'indexer', inFlightTexts: BATCHES + JOBS, strike: ({ indexer }) => indexer.kill() },
  { kind: 'worker', inFlightTexts: JOBS, strike: (cluster) => cluster.worker('cpu').kill() },
  {
    kind: 'model',
    inFlightTexts: JOBS,
    strike: async (cluster) => {
      const all = [await cluster.inferenceChild('cpu'), ...(await cluster.bulkChildren('cpu'))];
      for (const pid of all) signalIfThere(pid, 'SIGKILL');
    },
  },
  { kind: 'gateway', inFlightTexts: 0, strike: async ({ gateways: [gateway] }) => gateway?.kill() },
  // Its lock may be lost, and then the run begins anew from what is stored.
  { kind: 'queue', inFlightTexts: BATCHES + JOBS, strike: ({ redis }) => redis.restart() },
];

/** Of a campaign on Qdrant: what was to be written is written when it is back. */
export const STORE_KILL: Kill = {
  kind: 'store',
  inFlightTexts: 0,
  strike: async (_cluster, qdrant) => {
    await qdrant?.kill();
    await qdrant?.start();
  },
};
