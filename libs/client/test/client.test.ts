import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EmbergateClient } from '../src/client.ts';

/** Stands for what may be where a gateway is expected. */
let answer: RequestListener;
let server: Server;
let client: EmbergateClient;
beforeEach(async () => {
  server = createServer((request, response) => answer(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  client = new EmbergateClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

/** All that read an answer, in one way or another. */
const CALLS: ((client: EmbergateClient) => Promise<unknown>)[] = [
  (gateway) => gateway.search({ query: 'q' }),
  (gateway) => gateway.cluster(),
  (gateway) => gateway.readiness(),
  (gateway) => gateway.indexJobs(),
];

describe('a caller is told `gateway_unreachable`', () => {
  it.each([200, 502, 503])('where a proxy answers %i with a page', async (status) => {
    answer = (_request, response) =>
      response.writeHead(status, { 'content-type': 'text/html' }).end('<h1>Sign in</h1>');
    for (const call of CALLS)
      await expect(call(client)).rejects.toMatchObject({
        code: 'gateway_unreachable',
        message: expect.stringContaining(
          `answered ${status}, not as an Embergate gateway does: <h1>`,
        ) as string,
      });
  });

  it.each([200, 503])('where the connection breaks in the middle of an answer of %i', async (status) => {
    answer = (_request, response) => {
      response.writeHead(status, { 'content-type': 'application/json', 'content-length': '1000' });
      response.write('{"results": [', () => response.destroy());
    };
    for (const call of CALLS)
      await expect(call(client)).rejects.toMatchObject({
        code: 'gateway_unreachable',
        message: 'The connection to the gateway broke.',
      });
  });
});

it('a caller that leaves in the middle of an answer hears its own reason', async () => {
  const leaving = new AbortController();
  answer = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write('{', () => leaving.abort(new Error('enough')));
  };
  await expect(client.search({ query: 'q' }, leaving.signal)).rejects.toThrow('enough');
});

it('a failure says all that a caller can act on: code, reason, how long to wait', async () => {
  const problem = {
    type: 'urn:embergate:error:no_tier_available',
    title: 'No tier can answer within the deadline',
    status: 503,
    code: 'no_tier_available',
    detail: 'No worker is ready.',
    requestId: 'r',
    reason: 'gpu_starting',
    retryAfterMs: 2_000,
  };
  answer = (_request, response) =>
    response.writeHead(503, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem));
  await expect(client.search({ query: 'q' })).rejects.toMatchObject({
    code: 'no_tier_available',
    message: 'No worker is ready.',
    details: { reason: 'gpu_starting', retryAfterMs: 2_000 },
  });
});
