import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import type { IncomingMessage } from 'node:http';
import { BrokenConnection, expectStatus, failed, get, isBrokenConnection, messageOf } from './http-get.ts';
import type { PartialFile } from './partial-file.ts';

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
        throw failed(messageOf(error), { cause: error });
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
  expectStatus(response);
  await partial.restart();
  const length = response.headers['content-length'];
  if (length !== undefined && Number(length) !== partial.file.bytes) {
    throw failed(`${partial.file.path} has ${length} bytes there, ${partial.file.bytes} are needed`);
  }
}
