import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, relative, sep } from 'node:path';

export interface HubRequest {
  method: string;
  path: string;
  range: string | null;
}

/** What a test does to an answer. Returning true means that it has answered itself. */
export type HubInterference = (request: HubRequest, response: ServerResponse) => boolean | undefined;

export interface ModelHub {
  url: string;
  requests: HubRequest[];
  /** Paths of the files that were fetched, in order. */
  fetched: () => string[];
  close: () => Promise<void>;
}

/** What a hub's API says of a file. */
export interface TreeEntry {
  type: string;
  path: string;
  size: number;
  oid: string;
  lfs?: { oid: string; size: number; pointerSize: number };
}

export interface HubOptions {
  /** Served as the one commit of `repository`. */
  folder: string;
  repository: string;
  revision: string;
  interfere?: HubInterference;
  /** Changes what the API lists. */
  tree?: (entries: TreeEntry[]) => unknown;
  /** Entries a page. Default: all on one. */
  pageSize?: number;
}

/**
 * A model hub on loopback that serves one folder as Hugging Face does: `/api/models/REPOSITORY/tree/REVISION`, weights in its file
 * storage under their sha256 and everything else in git, and the files themselves with ranges behind a redirect.
 */
export async function startModelHub(options: HubOptions): Promise<ModelHub> {
  const { folder, repository, revision, interfere } = options;
  const requests: HubRequest[] = [];
  const files = `/${repository}/resolve/${revision}/`;
  const answer = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(incoming.url ?? '/', 'http://hub');
    const path = decodeURIComponent(url.pathname);
    if (path === `/api/models/${repository}/tree/${revision}`) return sendTree(options, url, response);
    if (path.startsWith(files)) {
      response.writeHead(302, { location: `/storage/${path.slice(files.length)}` }).end();
      return;
    }
    if (path.startsWith('/storage/'))
      return sendFile(join(folder, path.slice('/storage/'.length)), incoming, response);
    response.writeHead(404).end();
  };
  const server = createServer((incoming, response) => {
    const { method = '', url = '', headers } = incoming;
    const request = { method, path: url, range: headers.range ?? null };
    requests.push(request);
    if (interfere?.(request, response)) return;
    answer(incoming, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    fetched: () =>
      requests
        .filter(({ path, method }) => method === 'GET' && path.startsWith('/storage/'))
        .map(({ path }) => path.slice('/storage/'.length)),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function sendTree(
  { folder, tree, pageSize = Infinity }: HubOptions,
  url: URL,
  response: ServerResponse,
): Promise<void> {
  const entries = await treeOf(folder);
  const listed = tree ? tree(entries) : entries;
  response.setHeader('content-type', 'application/json');
  if (!Array.isArray(listed)) {
    response.end(typeof listed === 'string' ? listed : JSON.stringify(listed));
    return;
  }
  const from = Number(url.searchParams.get('cursor') ?? 0);
  const next = from + pageSize;
  if (next < listed.length) {
    const link = new URL(url);
    link.searchParams.set('cursor', String(next));
    response.setHeader('link', `<${link.pathname}${link.search}>; rel="next"`);
  }
  response.end(JSON.stringify(listed.slice(from, next)));
}

/** The folder's files and folders as a hub lists them. */
async function treeOf(folder: string): Promise<TreeEntry[]> {
  const entries: TreeEntry[] = [];
  for (const found of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const place = join(found.parentPath, found.name);
    const path = relative(folder, place).split(sep).join('/');
    if (found.isDirectory()) entries.push({ type: 'directory', path, size: 0, oid: '0'.repeat(40) });
    else {
      const content = await readFile(place);
      const size = content.length;
      const hash = (algorithm: string, prefix = '') =>
        createHash(algorithm).update(prefix).update(content).digest('hex');
      const oid = hash('sha1', `blob ${size}\0`);
      const isLarge = /\.(safetensors|bin)$/.test(path);
      const lfs = { oid: hash('sha256'), size, pointerSize: 135 };
      entries.push({ type: 'file', path, size, oid, ...(isLarge && { lfs }) });
    }
  }
  return entries;
}

async function sendFile(path: string, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (!found?.isFile()) {
    response.writeHead(404).end();
    return;
  }
  const start = Number(/^bytes=(\d+)-$/.exec(incoming.headers.range ?? '')?.[1] ?? 0);
  const headers = { 'content-length': found.size - start };
  if (start === 0) response.writeHead(200, headers);
  else
    response.writeHead(206, {
      ...headers,
      'content-range': `bytes ${start}-${found.size - 1}/${found.size}`,
    });
  if (incoming.method === 'HEAD') response.end();
  else createReadStream(path, { start }).pipe(response);
}
