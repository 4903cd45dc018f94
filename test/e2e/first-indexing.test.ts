import type { EmbergateClient } from '@embergate/client/client.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { startRedisServer } from '@embergate/queue/redis-server.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { RunningCluster } from '@embergate/testing/running-cluster.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeSampleProject } from '@embergate/testing/sample-project.ts';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';

const log = createLogger('test', 'silent');

describe('a repo that is indexed for the first time while there is no worker', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let cluster: RunningCluster;
  let client: EmbergateClient;
  let jobId: string;
  let chunks: number;

  beforeAll(async () => {
    folder = await temporaryFolder('first-indexing');
    cluster = await RunningCluster.start({
      startRedis: (where) => startRedisServer({ ...where, binary: inject('redisServer'), log }),
      modelDir: inject('modelDir'),
      tiers: ['cpu'],
      gateways: 1,
    });
    client = cluster.clients[0] as EmbergateClient;
    await cluster.worker('cpu').takeDown('SIGTERM');
    await writeSampleProject(join(folder.path, 'project'));
    const source = { type: 'directory' as const, path: join(folder.path, 'project') };
    jobId = (await client.createIndexJob({ source, repo: 'sample' })).id;
  });
  afterAll(async () => {
    await cluster?.stop();
    await folder.remove();
  });

  const search = (mode: 'hybrid' | 'dense' | 'lexical') =>
    client.search({ query: 'retry with backoff', mode, deadlineMs: 5_000 });
  const foundByText = () =>
    eventually('full text finds it', async () => {
      const answer = await search('lexical').catch(() => null);
      return answer?.results[0]?.path === 'src/retry.ts';
    });

  it('is found by full text, and answers say that vectors are missing', async () => {
    await foundByText();
    for (const mode of ['lexical', 'hybrid'] as const) {
      // Where the count takes long, answers do not wait for it: the next one says it.
      const { results, embedding } = await eventually('it says that vectors are missing', async () => {
        const answer = await search(mode);
        return answer.warnings.some(({ code }) => code === 'partly_embedded') && answer;
      });
      expect(results[0]?.path).toBe('src/retry.ts');
      expect(embedding.tier).toBe('none');
    }
    const collection = await client.collection('default');
    ({ chunks } = collection);
    expect(chunks).toBeGreaterThan(2);
    expect(collection).toMatchObject({ embedded: 0, repos: [{ name: 'sample', chunks, embedded: 0 }] });
    // Searches may see the rows before the job's own report has arrived.
    const job = await eventually('the job says that full text can be searched', async () => {
      const told = await client.indexJob(jobId);
      return told.progress.textSearchable && told;
    });
    expect(job).toMatchObject({ state: 'running', progress: { total: chunks, embedded: 0 } });
  });

  it('stays so when the indexer is killed', async () => {
    await cluster.indexer.takeDown('SIGKILL');
    await foundByText();
    cluster.indexer.bringUp();
    await foundByText();
    expect(await client.collection('default')).toMatchObject({ chunks, embedded: 0 });
  });

  it('is found by its vectors when a worker has come, and nothing is said any more', async () => {
    cluster.worker('cpu').bringUp();
    let last;
    for await (last of client.watchIndexJob(jobId));
    expect(last).toMatchObject({ state: 'completed', progress: { chunks, embedded: chunks } });
    const { results, warnings, embedding } = await search('dense');
    expect(results[0]?.path).toBe('src/retry.ts');
    expect(embedding.tier).toBe('cpu');
    expect(warnings).toEqual([]);
    expect(await client.collection('default')).toMatchObject({ chunks, embedded: chunks });
  });
});
