import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';

export interface MirrorRequest {
  path: string;
  range: string | null;
}

export interface MirrorServer {
  url: string;
  requests: MirrorRequest[];
  close: () => Promise<void>;
}

/** What a test does to an answer. Returning true means that it has answered itself. */
export type Interference = (
  request: MirrorRequest,
  response: ServerResponse,
  count: number,
) => boolean | undefined;

/** A mirror on loopback: serves the files of a folder under any path, with ranges, until a test interferes. */
export async function startMirror(folder: string, interfere?: Interference): Promise<MirrorServer> {
  const requests: MirrorRequest[] = [];
  const server = createServer((incoming, response) => {
    const request = { path: incoming.url ?? '', range: incoming.headers.range ?? null };
    requests.push(request);
    if (interfere?.(request, response, requests.length)) return;
    void serveFile(folder, incoming, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Sends `bytes` of the file and breaks the connection. */
export function sendPart(
  path: string,
  response: ServerResponse,
  part: { total: number; bytes: number },
): void {
  response.writeHead(200, { 'content-length': part.total });
  const stream = createReadStream(path, { end: part.bytes - 1 });
  stream.pipe(response, { end: false });
  // The bytes must be on their way before the connection goes.
  stream.once('end', () => response.write('', () => response.destroy()));
}

async function serveFile(folder: string, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = join(folder, basename(incoming.url ?? ''));
  const found = await stat(path).catch(() => null);
  if (!found) {
    response.writeHead(404).end();
    return;
  }
  const { size } = found;
  const start = Number(/^bytes=(\d+)-$/.exec(incoming.headers.range ?? '')?.[1] ?? 0);
  const headers = { 'content-length': size - start };
  if (start === 0) response.writeHead(200, headers);
  else response.writeHead(206, { ...headers, 'content-range': `bytes ${start}-${size - 1}/${size}` });
  createReadStream(path, { start }).pipe(response);
}
