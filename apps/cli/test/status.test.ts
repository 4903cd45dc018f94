import { runEmbergate } from '@embergate/testing/running-embergate.ts';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const problem = {
  type: 'urn:embergate:error:store_down',
  title: 'The vector store is away',
  status: 503,
  code: 'store_down',
  detail: 'Qdrant does not answer.',
  requestId: 'r',
};
const tier = {
  name: 'gpu',
  state: 'ready',
  breaker: 'closed',
  workers: 2,
  requiredWorkers: 1,
  backlogTokens: 0,
  tokensPerSecond: 9_000,
  predictedMs: 12,
  alignment: null,
  devices: ['cuda'],
  deviceReasons: [],
};
/** Stands for a gateway whose store is away. */
const ANSWERS: Record<string, [status: number, body: unknown]> = {
  '/readyz': [503, { status: 'not ready', checks: { store: 'store_down: Qdrant does not answer.' } }],
  '/v1/cluster': [
    200,
    { queue: 'ok', tiers: [tier], lanes: [], space: 'a-space', store: 'qdrant', otherSpaces: [] },
  ],
  '/v1/collections': [503, problem],
};

describe('`embergate status` while the store is away', () => {
  let gateway: Server;
  beforeAll(async () => {
    gateway = createServer((request, response) => {
      const [status, body] = ANSWERS[request.url ?? ''] ?? [404, {}];
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    gateway.listen(0, '127.0.0.1');
    await once(gateway, 'listening');
  });
  afterAll(() => gateway.close());
  const status = (...args: string[]) =>
    runEmbergate(['status', ...args], {
      env: { EMBERGATE_URL: `http://127.0.0.1:${(gateway.address() as AddressInfo).port}` },
    });

  it('shows the tiers, and why there are no collections', async () => {
    const { code, stdout, stderr } = await status();
    expect(code).toBe(1);
    expect(stdout).toMatch(/^gpu +ready +closed +2 /m);
    expect(stderr).toContain('store_down: Qdrant does not answer.');
  });

  it('says the same as JSON', async () => {
    const { code, stdout } = await status('--json');
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      cluster: { tiers: [{ name: 'gpu' }] },
      collections: null,
      error: { code: 'store_down', message: 'Qdrant does not answer.' },
    });
  });
});
