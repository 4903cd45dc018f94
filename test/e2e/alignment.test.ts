import type { EmbergateClient } from '@embergate/client/client.ts';
import type { Cluster } from '@embergate/contracts/http-cluster.ts';
import { isEnded } from '@embergate/contracts/index-job.ts';
import { findModel, MANIFEST_FILE, manifestSchema } from '@embergate/models/installed-model.ts';
import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { AlignmentReferences } from '@embergate/queue/alignment-references.ts';
import { connectRedis } from '@embergate/queue/connection.ts';
import { startRedisServer } from '@embergate/queue/redis-server.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { RunningCluster } from '@embergate/testing/running-cluster.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeSampleProject } from '@embergate/testing/sample-project.ts';
import { createHash } from 'node:crypto';
import { cp, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';

const log = createLogger('test', 'silent');
const TOLERATED_MS = 10_000;

/** Other weights under the same name: what a wrong conversion, or another revision in the volume, looks like from outside. */
async function spoil(folder: string): Promise<void> {
  const path = join(folder, 'model.safetensors');
  const file = await open(path, 'r+');
  const { size } = await file.stat();
  const middle = Math.floor(size / 8) * 4;
  const part = new Float32Array(2 * 2 ** 20);
  await file.read(part, 0, part.byteLength, middle);
  await file.write(part.reverse(), 0, part.byteLength, middle);
  await file.close();
  const manifest = manifestSchema.parse(JSON.parse(await readFile(join(folder, MANIFEST_FILE), 'utf8')));
  const entry = manifest.files.find((one) => one.path === 'model.safetensors');
  if (entry)
    entry.sha256 = createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
  await writeFile(join(folder, MANIFEST_FILE), JSON.stringify(manifest));
}

describe('a gpu worker whose model is not the one that the collection was embedded with', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let cluster: RunningCluster;
  let client: EmbergateClient;
  let genuine: string;
  let model: string;

  beforeAll(async () => {
    folder = await temporaryFolder('alignment');
    genuine = (await findModel(DEFAULT_MODEL, { modelDir: inject('modelDir') })).folder;
    model = join(folder.path, 'model');
    await cp(genuine, model, { recursive: true });
    await spoil(model);
    cluster = await RunningCluster.start({
      startRedis: (where) => startRedisServer({ ...where, binary: inject('redisServer'), log }),
      modelDir: inject('modelDir'),
      tiers: ['gpu', 'cpu'],
      gateways: 1,
      workerEnv: { gpu: { EMBEDDING_MODEL: model } },
    });
    client = cluster.clients[0] as EmbergateClient;
    await cluster.worker('gpu').takeDown('SIGTERM');
    const source = join(folder.path, 'project');
    await writeSampleProject(source);
    const job = await client.createIndexJob({ source: { type: 'directory', path: source }, repo: 'sample' });
    await eventually('the project is indexed', async () => isEnded((await client.indexJob(job.id)).state));
  });
  afterAll(async () => {
    await cluster?.stop();
    await folder.remove();
  });

  const tierIs = (name: string, state: Cluster['tiers'][number]['state']) =>
    eventually(
      `the ${name} tier is ${state}`,
      async () => {
        const tier = (await client.cluster()).tiers.find((one) => one.name === name);
        return tier?.state === state && tier.alignment !== null ? tier : undefined;
      },
      TOLERATED_MS,
    );

  it('takes no query and no bulk work: the cpu tier does, and answers say why', async () => {
    await tierIs('cpu', 'ready');
    cluster.worker('gpu').bringUp();
    const gpu = await tierIs('gpu', 'misaligned');
    expect(gpu).toMatchObject({ workers: 0 });
    expect(gpu.alignment).toBeLessThan(0.95);
    const { embedding } = await client.search({ query: 'retry with backoff' });
    expect(embedding).toMatchObject({ tier: 'cpu', degraded: true, reason: 'gpu_misaligned' });
    const list = await fetch(`${cluster.urls[0]}/v1/embeddings`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: DEFAULT_MODEL, input: ['open a file', 'close a socket'] }),
    });
    expect(list.headers.get('x-embedding-tier')).toBe('cpu');
    expect(list.headers.get('x-embedding-degraded')).toBe('gpu_misaligned');
  });

  it('operators see how far its vectors are off', async () => {
    const metrics = await (await fetch(`${cluster.urls[0]}/metrics`)).text();
    const cosineOf = (tier: string) =>
      Number(new RegExp(`embergate_alignment_cosine\\{tier="${tier}"\\} (\\S+)`).exec(metrics)?.[1]);
    expect(cosineOf('gpu')).toBeLessThan(0.95);
    expect(cosineOf('cpu')).toBeGreaterThan(0.9999);
    expect(metrics).toContain('embergate_workers{tier="gpu",state="misaligned"} 1');
  });

  it('takes queries again once it has the right weights', async () => {
    await cluster.worker('gpu').takeDown('SIGTERM');
    await cp(genuine, model, { recursive: true, force: true });
    cluster.worker('gpu').bringUp();
    const gpu = await tierIs('gpu', 'ready');
    expect(gpu.alignment).toBeGreaterThan(0.9999);
    await eventually('the gpu tier answers', async () => {
      const { embedding } = await client.search({ query: `parse a header line ${Math.random()}` });
      return embedding.tier === 'gpu';
    });
  });

  it('workers that have been well leave and come back as the collections change under them', async () => {
    const redis = await connectRedis({ url: cluster.redis.url, patience: 'fail-fast', log });
    const references = new AlignmentReferences(redis);
    const { space } = await client.cluster();
    const published = await references.read(space);
    if (!published) throw new Error('nothing was published');
    const { reference } = published;
    // As if the first texts had been embedded by something else.
    const sample = reference.sample.slice().fill(0.5, 0, reference.canaries.length * reference.dimensions);
    await references.publish(space, { ...reference, sample }, 60_000);
    await tierIs('gpu', 'misaligned');
    await tierIs('cpu', 'misaligned');
    const { embedding, results } = await client.search({ query: 'retry' });
    expect(embedding).toMatchObject({ tier: 'none', reason: 'gpu_misaligned' });
    expect(results.length).toBeGreaterThan(0);
    await references.publish(space, reference, 60_000);
    await tierIs('cpu', 'ready');
    await tierIs('gpu', 'ready');
    redis.disconnect();
  });
});
