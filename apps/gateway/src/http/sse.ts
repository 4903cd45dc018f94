import type { Response } from 'express';

export interface EventStream<T> {
  event: string;
  everyMs: number;
  /** Aborts when the gateway stops: streams would keep it from closing. */
  closing: AbortSignal;
  next: () => Promise<{ data: T; last: boolean }>;
}

/** Sends `next()` as server-sent events until it returns `last: true`, the client leaves, or it throws (an `error` event). */
export async function sendEvents<T>(
  response: Response,
  { event, everyMs, closing, next }: EventStream<T>,
): Promise<void> {
  const left = new AbortController();
  // Before the first await: a client may be gone by its end.
  response.once('close', () => left.abort());
  const gone = AbortSignal.any([left.signal, closing]);
  // The first one before the headers: an unknown id is still a 404.
  let current = await next();
  if (gone.aborted) return;
  response
    .status(200)
    .set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' });
  response.flushHeaders();
  let sent = '';
  while (!gone.aborted) {
    const text = JSON.stringify(current.data);
    if (text !== sent) response.write(`event: ${event}\ndata: ${text}\n\n`);
    sent = text;
    if (current.last) break;
    await wait(everyMs, gone);
    if (gone.aborted) break;
    try {
      current = await next();
    } catch (error) {
      response.write(`event: error\ndata: ${JSON.stringify({ message: (error as Error).message })}\n\n`);
      break;
    }
  }
  response.end();
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
  });
}
