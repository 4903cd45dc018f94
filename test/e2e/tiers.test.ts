import { eventually } from '@embergate/testing/eventually.ts';
import { RunningEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeSampleProject } from '@embergate/testing/sample-project.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** A deployment that declares a gpu tier, and has no worker of it: `up` starts workers of the cpu tier only. */
describe('a second tier stands in for the first', () => {
  let embergate: RunningEmbergate;
  let source: Awaited<ReturnType<typeof temporaryFolder>>;

  beforeAll(async () => {
    source = await temporaryFolder('project');
    await writeSampleProject(source.path);
    embergate = await RunningEmbergate.start({ source: source.path, env: { EMBEDDING_TIERS: 'gpu,cpu' } });
  });
  afterAll(async () => {
    await embergate.dispose();
    await source.remove();
  });

  const post = (path: string, body: unknown): Promise<Response> =>
    fetch(embergate.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  // Answers are JSON, and asserting on them is what says what they are.
  const bodyOf = async (response: Response) => JSON.parse(await response.text());
  const metrics = async (): Promise<string> => (await fetch(`${embergate.url}/metrics`)).text();

  it('a search is answered by it, and says so in body, warning and headers', async () => {
    const response = await post('/v1/search', { query: 'retry with backoff' });
    const { embedding, warnings, results } = await bodyOf(response);
    expect(embedding).toMatchObject({ tier: 'cpu', degraded: true, reason: 'gpu_absent', cached: false });
    expect(warnings).toMatchObject([{ code: 'latency_degraded' }]);
    expect(results[0].path).toBe('src/retry.ts');
    const said = ['tier', 'device', 'degraded'].map((name) => response.headers.get(`x-embedding-${name}`));
    expect(said).toEqual(['cpu', 'cpu', 'gpu_absent']);
  });

  it('the same search again comes from the cache, still degraded, without a warning of latency', async () => {
    await post('/v1/search', { query: 'parse a header line' });
    const again = await bodyOf(await post('/v1/search', { query: 'parse a header line' }));
    expect(again.embedding).toMatchObject({
      tier: 'cpu',
      degraded: true,
      reason: 'gpu_absent',
      cached: true,
    });
    expect(again.warnings).toEqual([]);
  });

  it('who wants the first tier or nothing gets 503, and when to ask again', async () => {
    const response = await post('/v1/search', { query: 'retry with backoff', degradation: 'forbid' });
    expect(response.status).toBe(503);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await bodyOf(response)).toMatchObject({ code: 'no_tier_available' });
  });

  it('embeddings, one or many, carry the same headers and a warning', async () => {
    const model = 'all-MiniLM-L6-v2';
    for (const input of ['open a file', ['open a file', 'close a socket']]) {
      const response = await post('/v1/embeddings', { model, input });
      const { data, warnings } = await bodyOf(response);
      expect(data).toHaveLength(Array.isArray(input) ? 2 : 1);
      expect(response.headers.get('x-embedding-degraded')).toBe('gpu_absent');
      expect(warnings).toMatchObject([{ code: 'latency_degraded' }]);
    }
  });

  it('operators see how much was degraded and why, and how many workers the first tier needs', async () => {
    const before = Number(
      /embergate_degraded_total\{reason="gpu_absent"\} (\d+)/.exec(await metrics())?.[1] ?? 0,
    );
    await post('/v1/search', { query: 'who sends invoices' });
    expect(await metrics()).toContain(`embergate_degraded_total{reason="gpu_absent"} ${before + 1}`);
    await eventually('the gpu tier, without a worker, is wanted', async () => {
      const text = await metrics();
      return text.includes('embergate_required_workers{tier="gpu"} 1');
    });
    const { queue, tiers } = await embergate.client.cluster();
    expect(queue).toBe('ok');
    expect(tiers).toMatchObject([
      { name: 'gpu', state: 'down', workers: 0, requiredWorkers: 1 },
      { name: 'cpu', state: 'ready', workers: 1, breaker: 'closed', backlogTokens: 0 },
    ]);
  });
});
