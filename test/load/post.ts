import { Agent, request } from 'node:http';

/** Posts over kept-alive connections, at most so many at a time; Node's plain client, as fetch costs about a millisecond of its own. */
export class Poster {
  readonly #agent: Agent;

  constructor(connections: number) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections });
  }

  /** @returns the answer of status 200 and how many milliseconds it took. Throws for any other. */
  post(url: string, body: unknown): Promise<{ ms: number; text: string }> {
    const start = performance.now();
    return new Promise((resolve, reject) => {
      const call = request(
        url,
        { method: 'POST', agent: this.#agent, headers: { 'content-type': 'application/json' } },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
          response.on('end', () =>
            response.statusCode === 200
              ? resolve({ ms: performance.now() - start, text })
              : reject(new Error(`${response.statusCode}: ${text}`)),
          );
        },
      );
      call.on('error', reject).end(JSON.stringify(body));
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
