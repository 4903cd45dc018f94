import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { PartialFile } from './partial-file.ts';
import { AppError, toAppError } from '@embergate/contracts/errors.ts';

/** A hub that is out of reach should cost little: other sources are waiting. */
const CONNECT_TIMEOUT_MS = 4_000;
/** No byte for so long: a mirror that has to fetch the file itself first may take a while. */
const STALL_TIMEOUT_MS = 60_000;
const MAX_REDIRECTS = 5;
/** Attempts in a row that bring no new byte. */
const MAX_FRUITLESS_ATTEMPTS = 2;

export interface DownloadOptions {
  signal?: AbortSignal | undefined;
  onBytes: (bytes: number) => void;
}

/**
 * Downloads what is missing of a file, by Range from where it stands, and commits it. A broken connection is taken up
 * again as long as every attempt brings something.
 * Errors: `model_download_failed`, `checksum_mismatch`, `storage_full`; the signal's reason when aborted.
 */
export async function downloadOver(
  url: string,
  partial: PartialFile,
  options: DownloadOptions,
): Promise<void> {
  const resumed = partial.bytes > 0;
  await receiveAll(url, partial, options);
  try {
    await partial.commit();
  } catch (error) {
    if (!resumed || toAppError(error).code !== 'checksum_mismatch') throw error;
    // What an earlier process left may be what was wrong.
    await receiveAll(url, partial, options);
    await partial.commit();
  }
}

async function receiveAll(url: string, partial: PartialFile, options: DownloadOptions): Promise<void> {
  for (let fruitless = 0; partial.bytes < partial.file.bytes;) {
    const before = partial.bytes;
    try {
      await receive(url, partial, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (error instanceof AppError) throw error;
      fruitless = partial.bytes > before ? 0 : fruitless + 1;
      if (fruitless >= MAX_FRUITLESS_ATTEMPTS || !isBrokenConnection(error))
        throw failed(messageOf(error), error);
    }
  }
}

async function receive(url: string, partial: PartialFile, options: DownloadOptions): Promise<void> {
  const response = await get(new URL(url), { from: partial.bytes, signal: options.signal });
  try {
    await expectFile(response, partial);
    options.onBytes(partial.bytes);
    for await (const chunk of response) {
      await partial.append(chunk as Buffer);
      options.onBytes(partial.bytes);
    }
  } finally {
    response.destroy();
  }
  if (partial.bytes < partial.file.bytes) throw new BrokenConnection('the connection ended early');
}

/** 206 goes on where the file stands, 200 starts again; everything else is no file. */
async function expectFile(response: IncomingMessage, partial: PartialFile): Promise<void> {
  const status = response.statusCode;
  if (status === 206) {
    const start = /^bytes (\d+)-/.exec(response.headers['content-range'] ?? '')?.[1];
    if (Number(start) === partial.bytes) return;
    throw failed(`the answer to a range request starts at ${start} instead of ${partial.bytes}`);
  }
  if (status !== 200) throw failed(`HTTP ${status}`);
  await partial.restart();
  const length = response.headers['content-length'];
  if (length !== undefined && Number(length) !== partial.file.bytes) {
    throw failed(`${partial.file.path} has ${length} bytes there, ${partial.file.bytes} are needed`);
  }
}

async function get(
  url: URL,
  options: { from: number; signal?: AbortSignal | undefined },
): Promise<IncomingMessage> {
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

function requestOnce(
  url: URL,
  options: { from: number; signal?: AbortSignal | undefined },
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const headers = options.from > 0 ? { range: `bytes=${options.from}-` } : {};
  const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, {
    headers: { ...headers, 'accept-encoding': 'identity', 'user-agent': 'embergate' },
    ...(options.signal && { signal: options.signal }),
  });
  const connecting = setTimeout(() => {
    request.destroy(new Error(`no connection to ${url.host} within ${CONNECT_TIMEOUT_MS / 1000} s`));
  }, CONNECT_TIMEOUT_MS);
  request.once('socket', (socket) => {
    if (!socket.connecting) clearTimeout(connecting);
    socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => clearTimeout(connecting));
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

class BrokenConnection extends Error {}

function isBrokenConnection(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return error instanceof BrokenConnection || code === 'ECONNRESET' || code === 'EPIPE';
}

function failed(message: string, cause?: unknown): AppError {
  return new AppError('model_download_failed', message, { cause });
}

/** Node reports "all addresses failed" as an AggregateError with an empty message. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
