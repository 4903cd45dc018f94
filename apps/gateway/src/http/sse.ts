import type { Request, Response } from 'express';

/** Sends `next()` as server-sent events until it returns `last: true`, the client leaves, or it throws (an `error` event). */
export async function sendEvents<T>(
  request: Request,
  response: Response,
  { event, everyMs, next }: { event: string; everyMs: number; next: () => Promise<{ data: T; last: boolean }> },
): Promise<void> {
  // The first one before the headers: an unknown id is still a 404.
  let current = await next();
  const gone = new AbortController();
  request.once('close', () => gone.abort());
  response.status(200).set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' });
  response.flushHeaders();
  let sent = '';
  while (!gone.signal.aborted) {
    const text = JSON.stringify(current.data);
    if (text !== sent) response.write(`event: ${event}\ndata: ${text}\n\n`);
    sent = text;
    if (current.last) break;
    await wait(everyMs, gone.signal);
    if (gone.signal.aborted) return;
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
