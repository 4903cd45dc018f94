import { AppError } from '@embergate/contracts/errors.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { maskPassword } from '@embergate/platform/mask-password.ts';
import { Redis } from 'ioredis';
import { z } from 'zod';

export type { Redis };

/**
 * `fail-fast`: a command while Redis is away rejects at once; for what a caller waits on.
 * `patient`: commands wait until Redis is back; for workers, as BullMQ demands.
 */
export type RedisPatience = 'fail-fast' | 'patient';

export interface RedisOptions {
  url: string;
  patience: RedisPatience;
  log: Logger;
}

const RECONNECT_MAX_MS = 500;
const CONNECT_TIMEOUT_MS = 5_000;

/** A connection that reconnects for ever. Connection errors are logged once an outage, not once a try. */
function createRedis({ url, patience, log }: RedisOptions): Redis {
  const redis = new Redis(url, {
    enableOfflineQueue: patience === 'patient',
    maxRetriesPerRequest: patience === 'patient' ? null : 0,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 6), RECONNECT_MAX_MS),
    lazyConnect: true,
  });
  // Until it has been there once, whoever waits for it says that it is not.
  let away: boolean | undefined;
  redis.on('error', (error: Error) => {
    if (away === false) log.warn({ err: error }, 'redis is away');
    if (away !== undefined) away = true;
  });
  redis.on('ready', () => {
    if (away) log.info('redis is back');
    away = false;
  });
  return redis;
}

/**
 * Connects and waits until Redis answers.
 * @throws AppError `queue_down` when it does not within `timeoutMs`.
 */
export async function connectRedis(options: RedisOptions & { timeoutMs?: number }): Promise<Redis> {
  const redis = createRedis(options);
  const { timeoutMs = 10_000 } = options;
  const ready = new Promise<void>((resolve) => redis.once('ready', () => resolve()));
  redis.connect().catch(() => undefined);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs);
  });
  const connected = await Promise.race([ready.then(() => true), late]);
  clearTimeout(timer);
  if (connected) return redis;
  redis.disconnect();
  throw new AppError(
    'queue_down',
    `Redis does not answer at ${maskPassword(options.url)}. Is REDIS_URL right?`,
  );
}

/** Any failure of a Redis command, as the caller's error. */
export function queueDown(cause: unknown): AppError {
  if (cause instanceof AppError) return cause;
  // A job that cannot be read is our fault and not Redis's.
  if (cause instanceof z.ZodError)
    return new AppError('internal', 'A job in the queue cannot be read.', { cause });
  // Its append-only file does not grow any more: it answers reads, and refuses what it could not keep.
  if (cause instanceof Error && cause.message.startsWith('MISCONF')) {
    return new AppError(
      'storage_full',
      'The queue cannot write to its disk. Free space where it keeps its data (DATA_DIR, unless REDIS_URL is set).',
      { cause, details: { retryAfterMs: 1_000 } },
    );
  }
  return new AppError('queue_down', 'Redis is away. Search answers lexically until it is back.', {
    cause,
    details: { retryAfterMs: 1_000 },
  });
}
