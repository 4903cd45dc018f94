import { startRedisServer } from '@embergate/queue/redis-server.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { RunningCluster } from '@embergate/testing/running-cluster.ts';
import { runEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeSampleProject } from '@embergate/testing/sample-project.ts';
import { softwareGpu, whyNoSoftwareGpu, type SoftwareGpu } from '@embergate/testing/software-gpu.ts';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';

const log = createLogger('test', 'silent');
const withoutGpu = whyNoSoftwareGpu === undefined ? '' : ` (skipped: ${whyNoSoftwareGpu})`;

describe.skipIf(whyNoSoftwareGpu !== undefined)(`workers and their devices${withoutGpu}`, () => {
  let gpu: SoftwareGpu;
  let cluster: RunningCluster;
  let source: Awaited<ReturnType<typeof temporaryFolder>>;

  beforeAll(async () => {
    gpu = await softwareGpu();
    source = await temporaryFolder('project');
    await writeSampleProject(source.path);
    cluster = await RunningCluster.start({
      startRedis: (where) => startRedisServer({ ...where, binary: inject('redisServer'), log }),
      modelDir: inject('modelDir'),
      tiers: ['gpu'],
      gateways: 1,
      workerEnv: { gpu: { EMBEDDING_DEVICE: 'webgpu', ...gpu.env } },
    });
  });
  afterAll(async () => {
    await cluster?.stop();
    await source.remove();
    await gpu.remove();
  });

  const worker = (env: NodeJS.ProcessEnv) =>
    runEmbergate(['worker'], {
      env: { REDIS_URL: cluster.redis.url, MODEL_DIR: inject('modelDir'), WORKER_TIER: 'gpu', ...env },
    });

  it('a gpu worker on WebGPU indexes and answers a search, and says where it ran and why', async () => {
    const [client] = cluster.clients;
    const job = await client!.createIndexJob({
      source: { type: 'directory', path: source.path },
      repo: 'sample',
    });
    await eventually(
      'the project is indexed',
      async () => (await client!.indexJob(job.id)).state === 'completed',
      100_000,
    );
    const { embedding, results } = await client!.search({
      query: 'retry with backoff',
      mode: 'dense',
      deadlineMs: 60_000,
    });
    expect(embedding).toMatchObject({ tier: 'gpu', device: 'webgpu', degraded: false });
    expect(results[0]?.path).toBe('src/retry.ts');

    const { tiers } = await client!.cluster();
    expect(tiers).toMatchObject([{ name: 'gpu', devices: ['webgpu'] }]);
    expect(tiers[0]?.deviceReasons).toEqual([
      expect.stringMatching(
        /^EMBEDDING_DEVICE=webgpu asks for it: \d+ nodes with matrix work ran on webgpu, .*software/,
      ),
    ]);
    const { stdout } = await runEmbergate(['status', '--url', cluster.urls[0] ?? '']);
    expect(stdout).toMatch(/gpu: EMBEDDING_DEVICE=webgpu asks for it: \d+ nodes/);
  });

  it('auto in the gpu tier does not take software for a GPU: the worker ends, with the reason of each device', async () => {
    const { code, stderr } = await worker({ EMBEDDING_DEVICE: 'auto', ...gpu.env });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^device_unavailable: No GPU works, .* cuda: .*library.* webgpu: .*its adapter is software/m,
    );
  });

  it('auto in the gpu tier without any GPU: the worker ends, with the reason of each device', async () => {
    const { code, stderr } = await worker({ EMBEDDING_DEVICE: 'auto', VK_ICD_FILENAMES: '/none.json' });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^device_unavailable: No GPU works, .* cuda: .*library.* webgpu: .*adapter.*EMBEDDING_DEVICE=cpu/m,
    );
  });

  it('cuda without its libraries: the worker ends, and says how to get them', async () => {
    const { code, stderr } = await worker({ EMBEDDING_DEVICE: 'cuda' });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^device_unavailable: EMBEDDING_DEVICE=cuda does not work\. .*docs\/operations\.md/m,
    );
  });

  it('cuda asked of everything on one machine: the start fails, and nothing tries again', async () => {
    const data = await temporaryFolder('data');
    const env = {
      DATA_DIR: data.path,
      GATEWAY_PORT: '0',
      MODEL_DIR: inject('modelDir'),
      EMBEDDING_DEVICE: 'cuda',
    };
    const { code, stderr } = await runEmbergate(['up', '--no-index'], { env });
    expect(code).toBe(1);
    expect(stderr.match(/device_unavailable: EMBEDDING_DEVICE=cuda does not work/g)).toHaveLength(1);
    await data.remove();
  });
});
