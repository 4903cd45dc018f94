import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeVectorStore } from '@embergate/vector-store/conformance.ts';
import { createLanceDbStore } from '../src/lancedb-store.ts';

describeVectorStore('LanceDB', async () => {
  const path = await mkdtemp(join(tmpdir(), 'embergate-lancedb-'));
  return {
    // No row waits, so that the suite's few rows come from the indexes too.
    open: () => createLanceDbStore({ path, waitingRows: 0 }),
    remove: () => rm(path, { recursive: true, force: true }),
  };
});
