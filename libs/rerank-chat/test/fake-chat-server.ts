import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface AskedChat {
  path: string;
  headers: IncomingHttpHeaders;
  body: { model: string; messages: { role: string; content: string }[]; [field: string]: unknown };
  /** The passages of the window that was shown, without their numbers. */
  passages: string[];
}

type Act = (response: ServerResponse, asked: AskedChat) => void;

export const reply =
  (status: number, body: unknown, headers: Record<string, string> = {}): Act =>
  (response) =>
    void response
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end(typeof body === 'string' ? body : JSON.stringify(body));

/** As an OpenAI-compatible chat API says it. */
export const says = (content: string | null): Act =>
  reply(200, { choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }] });

/** An order as CodeRankLLM writes it. */
export const ordered = (numbers: readonly number[]): Act => says(numbers.map((n) => `[${n}]`).join(' > '));

/** Ranks by the number behind `worth`, the highest first: what a good model would do with passages that state their worth. */
export const byWorth: Act = (response, asked) => {
  const worth = asked.passages.map((passage) => Number(/worth (\d+)/.exec(passage)?.[1] ?? 0));
  const numbers = worth.map((_, at) => at + 1).sort((a, b) => (worth[b - 1] ?? 0) - (worth[a - 1] ?? 0));
  ordered(numbers)(response, asked);
};

function passagesIn(content: string): string[] {
  const parts = content.split(/^\[\d+\] /m).slice(1);
  return parts.map((part) => part.replace(/\nDoc String: [\s\S]*$/, '').replace(/\n$/, ''));
}

/** Stands for a chat API with a ranking model behind it: answers as a test wants. */
export class FakeChatServer {
  readonly asked: AskedChat[] = [];
  act: Act = byWorth;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<FakeChatServer> {
    let fake: FakeChatServer | undefined = undefined;
    const server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        const body = JSON.parse(Buffer.concat(parts).toString()) as AskedChat['body'];
        const passages = passagesIn(body.messages.at(-1)?.content ?? '');
        const asked = { path: request.url ?? '', headers: request.headers, body, passages };
        fake?.asked.push(asked);
        fake?.act(response, asked);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    fake = new FakeChatServer(server);
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}
