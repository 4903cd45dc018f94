import { AppError } from '@embergate/contracts/errors.ts';
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';

/** A hub that is out of reach should cost little: other sources are waiting. */
const CONNECT_TIMEOUT_MS = 4_000;
/** No byte for so long: a mirror that has to fetch the file itself first may take a while. */
const STALL_TIMEOUT_MS = 60_000;
const MAX_REDIRECTS = 5;

export interface GetOptions {
  method?: 'GET' | 'HEAD';
  /** First byte that is wanted. Default 0. */
  from?: number;
  signal?: AbortSignal | undefined;
}

/** The answer to a request, after redirects. The caller destroys it. Errors: `model_download_failed`, or the connection's. */
export async function get(url: URL, options: GetOptions): Promise<IncomingMessage> {
  let target = url;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const response = await requestOnce(target, options);
    const { location } = response.headers;
    if (
      response.statusCode === undefined ||
      response.statusCode < 300 ||
      response.statusCode > 399 ||
      !location
    ) {
      return response;
    }
    response.destroy();
    const next = new URL(location, target);
    if (target.protocol === 'https:' && next.protocol !== 'https:')
      throw failed(`${target.host} redirects to plain HTTP`);
    target = next;
  }
  throw failed(`more than ${MAX_REDIRECTS} redirects`);
}

function requestOnce(url: URL, options: GetOptions): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const { method = 'GET', from = 0 } = options;
  const headers = from > 0 ? { range: `bytes=${from}-` } : {};
  const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, {
    method,
    headers: { ...headers, 'accept-encoding': 'identity', 'user-agent': 'embergate' },
    ...(options.signal && { signal: options.signal }),
  });
  const connecting = setTimeout(() => {
    request.destroy(new Error(`no connection to ${url.host} within ${CONNECT_TIMEOUT_MS / 1000} s`));
  }, CONNECT_TIMEOUT_MS);
  request.once('socket', (socket) => {
    // One that was kept alive has no connection to wait for, and would keep every listener.
    if (!socket.connecting) clearTimeout(connecting);
    else socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => clearTimeout(connecting));
  });
  request.setTimeout(STALL_TIMEOUT_MS, () => {
    request.destroy(new BrokenConnection(`nothing came for ${STALL_TIMEOUT_MS / 1000} s`));
  });
  request.once('response', resolve);
  request.once('error', reject);
  request.once('close', () => clearTimeout(connecting));
  request.end();
  return promise;
}

/** Errors: `model_download_failed` for every answer that is no file. */
export function expectStatus(response: IncomingMessage): void {
  const status = response.statusCode ?? 0;
  if (status === 200) return;
  // A hub says so of a repository that there is not, too: nobody shall learn which private ones there are.
  const gated =
    'it wants a login, or is not there; none is sent: fetch the files with an account of yours and name their folder';
  const why = status === 401 || status === 403 ? `: ${gated}` : status === 404 ? ': it is not there' : '';
  throw failed(`HTTP ${status}${why}`, { status });
}

/**
 * A short text, such as a list of files, and the address of its next page, if it has one.
 * Errors: `model_download_failed`, also where it is longer than `maxBytes`; the signal's reason.
 */
export async function getText(
  url: URL,
  { maxBytes, signal }: { maxBytes: number; signal?: AbortSignal | undefined },
): Promise<{ text: string; next: string | null }> {
  try {
    const response = await get(url, { signal });
    try {
      expectStatus(response);
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of response as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > maxBytes) throw failed(`the list of its files is longer than ${maxBytes} bytes`);
        chunks.push(chunk);
      }
      const next = /<([^>]+)>;\s*rel="next"/.exec(String(response.headers['link'] ?? ''))?.[1] ?? null;
      return { text: Buffer.concat(chunks).toString('utf8'), next };
    } finally {
      response.destroy();
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof AppError ? error : failed(messageOf(error), { cause: error });
  }
}

/** How large a file is, as its server says. Errors: `model_download_failed`; the signal's reason. */
export async function getSize(url: URL, signal?: AbortSignal): Promise<number> {
  try {
    const response = await get(url, { method: 'HEAD', signal });
    response.destroy();
    expectStatus(response);
    const length = Number(response.headers['content-length']);
    if (Number.isSafeInteger(length) && length > 0) return length;
    throw failed(`the server does not say how large ${url.pathname} is`);
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof AppError ? error : failed(messageOf(error), { cause: error });
  }
}

export class BrokenConnection extends Error {}

export function isBrokenConnection(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return error instanceof BrokenConnection || code === 'ECONNRESET' || code === 'EPIPE';
}

export function failed(message: string, options: { cause?: unknown; status?: number } = {}): AppError {
  const { cause, status } = options;
  return new AppError('model_download_failed', message, { cause, ...(status && { details: { status } }) });
}

/** Whether a server said that it has no such file; then it may have it elsewhere. */
export const isNotFound = (error: unknown): boolean =>
  error instanceof AppError && error.details['status'] === 404;

/** Node reports "all addresses failed" as an AggregateError with an empty message. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
