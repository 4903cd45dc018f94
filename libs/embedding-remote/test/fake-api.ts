import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  path: string;
  headers: IncomingHttpHeaders;
  body: { model?: string; input?: string[]; inputs?: string[]; [field: string]: unknown };
}

export type Act = (response: ServerResponse, asked: Asked) => void;

export const DIMENSIONS = 4;
/** Whatever it is asked to embed by itself: the backend's own probe. */
export const isProbe = ({ body }: Asked): boolean =>
  (body.input ?? body.inputs)?.join() === 'data data data data';

/** The fake's vector of a text: of length one, and another one for each text. */
export function vectorOf(text: string): number[] {
  const code = text.charCodeAt(0) || 7;
  const values = Array.from({ length: DIMENSIONS }, (_, at) => 1 + ((code * (at + 1)) % 31));
  const length = Math.hypot(...values);
  return values.map((value) => value / length);
}

export const json =
  (status: number, body: unknown, headers: Record<string, string> = {}): Act =>
  (response) =>
    void response
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end(JSON.stringify(body));

/** As OpenAI's API answers. */
export const embeddings = (vectors: readonly unknown[]): Act =>
  json(200, { object: 'list', data: vectors.map((embedding, index) => ({ index, embedding })) });

const honest: Act = (response, asked) => {
  const { input, inputs } = asked.body;
  const act = input ? embeddings(input.map(vectorOf)) : json(200, (inputs ?? []).map(vectorOf));
  act(response, asked);
};

/** Stands for a remote embedding API: speaks both dialects, and misbehaves as a test wants. */
export class FakeApi {
  readonly asked: Asked[] = [];
  /** What it does with each request; undefined: answers well. */
  act: ((asked: Asked) => Act | undefined) | undefined;
  readonly port: number;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  static async start(port = 0): Promise<FakeApi> {
    let api: FakeApi | undefined = undefined;
    const server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        const body = JSON.parse(Buffer.concat(parts).toString()) as Asked['body'];
        const asked = { path: request.url ?? '', headers: request.headers, body };
        api?.asked.push(asked);
        (api?.act?.(asked) ?? honest)(response, asked);
      });
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    api = new FakeApi(server);
    return api;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Requests other than probes. */
  get batches(): string[][] {
    return this.asked.filter((asked) => !isProbe(asked)).map(({ body }) => body.input ?? body.inputs ?? []);
  }

  /** As a process that was killed: connections break, and new ones are refused. */
  async kill(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}
