import { once } from 'node:events';
import { createServer, request as ask, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

/** What the proxy answers itself instead of passing a request on. */
export interface ProxyAnswer {
  status: number;
  error: string;
}

/** Stands between Embergate and a real server, and makes it slow, or answers what a server in trouble would. */
export class StoreProxy {
  /** Milliseconds before a request is passed on. */
  delayMs = 0;
  /** Null: the request is passed on. */
  answer: (method: string, path: string) => ProxyAnswer | null = () => null;
  requests = 0;
  readonly #server: Server;

  private constructor(target: string) {
    const { hostname, port } = new URL(target);
    this.#server = createServer((request, response) => {
      void (async () => {
        this.requests += 1;
        if (this.delayMs > 0) await wait(this.delayMs);
        const made = this.answer(request.method ?? '', request.url ?? '');
        if (made) {
          request.resume();
          response.writeHead(made.status, { 'content-type': 'application/json' });
          response.end(JSON.stringify({ status: { error: made.error }, time: 0 }));
          return;
        }
        const { method, url: path, headers } = request;
        const onward = ask({ hostname, port, method, path, headers }, (answered) => {
          response.writeHead(answered.statusCode ?? 502, answered.headers);
          answered.pipe(response);
        });
        onward.on('error', () => response.destroy());
        request.pipe(onward);
      })();
    });
  }

  static async start(target: string): Promise<StoreProxy> {
    const proxy = new StoreProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
