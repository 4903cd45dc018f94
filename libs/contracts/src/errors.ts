/**
 * Every failure a user can meet has one code. The code decides the HTTP status, whether the same call may be
 * tried again, and how loud the log is. `docs/errors.md` explains each code and is tested against this table.
 */
interface ErrorKind {
  /** HTTP status; errors that only a command line can meet carry 500. */
  http: number;
  /** True where the same call may succeed later without any change by the caller. */
  retryable: boolean;
  logLevel: 'debug' | 'info' | 'warn' | 'error';
  title: string;
}

const kind = (http: number, title: string, options: Partial<ErrorKind> = {}): ErrorKind => ({
  http,
  title,
  retryable: false,
  logLevel: http >= 500 ? 'error' : 'info',
  ...options,
});

const waitAndRetry = { retryable: true, logLevel: 'warn' } as const;

export const ERROR_KINDS = {
  invalid_request: kind(400, 'The request is not valid'),
  invalid_json: kind(400, 'The body is not JSON'),
  invalid_utf8: kind(400, 'The body is not UTF-8'),
  unauthorized: kind(401, 'An API key is needed'),
  forbidden: kind(403, 'The API key lacks the scope'),
  forbidden_host: kind(403, 'The Host header is not this gateway'),
  forbidden_origin: kind(403, 'The Origin is not this gateway'),
  source_not_allowed: kind(403, 'The source is outside INDEX_ROOTS'),
  route_not_found: kind(404, 'There is no such route'),
  collection_not_found: kind(404, 'There is no such collection'),
  model_not_found: kind(404, 'There is no such model'),
  job_not_found: kind(404, 'There is no such job'),
  source_not_found: kind(404, 'The source does not exist'),
  method_not_allowed: kind(405, 'The method is not allowed here'),
  space_mismatch: kind(409, 'The embedding space differs'),
  collection_foreign: kind(409, 'The collection is not one of Embergate'),
  job_running: kind(409, 'A job for this collection and repo is running'),
  job_finished: kind(409, 'The job has ended'),
  payload_too_large: kind(413, 'The body is too large'),
  unsupported_media_type: kind(415, 'Only JSON bodies are read'),
  source_too_large: kind(413, 'The source is larger than allowed'),
  text_refused: kind(422, 'The text cannot be embedded'),
  vectors_invalid: kind(422, 'The chunks or vectors cannot be imported'),
  vectors_misaligned: kind(422, 'The imported vectors are not those of the model'),
  rate_limited: kind(429, 'Too many requests', { retryable: true }),
  internal: kind(500, 'Something broke inside Embergate'),
  embedding_failed: kind(503, 'The model could not embed the text', waitAndRetry),
  queue_down: kind(503, 'The queue is away', waitAndRetry),
  store_down: kind(503, 'The vector store is away', waitAndRetry),
  store_busy: kind(503, 'The vector store limits how much is asked of it', waitAndRetry),
  store_denied: kind(503, 'The vector store refuses the API key'),
  store_refused: kind(500, 'The vector store refuses the request'),
  storage_full: kind(503, 'The data folder cannot be written', waitAndRetry),
  worker_misaligned: kind(503, 'The worker’s vectors are not those of the collection', waitAndRetry),
  no_tier_available: kind(503, 'No tier can answer within the deadline', waitAndRetry),
  shutting_down: kind(503, 'The process is stopping', { retryable: true, logLevel: 'info' }),
  deadline_exceeded: kind(504, 'The deadline has passed', { retryable: true, logLevel: 'warn' }),
  config_invalid: kind(500, 'A setting is wrong'),
  usage: kind(500, 'The command was not understood'),
  port_in_use: kind(500, 'The port is in use'),
  redis_not_found: kind(500, 'No Redis or Valkey server was found'),
  process_failed: kind(500, 'A process of Embergate did not start'),
  model_not_installed: kind(500, 'The model is not on this machine'),
  model_download_failed: kind(500, 'The model could not be fetched'),
  checksum_mismatch: kind(500, 'A file differs from its checksum'),
  model_damaged: kind(500, 'A model file cannot be read'),
  model_too_slow: kind(500, 'The model did not run in time'),
  device_unavailable: kind(500, 'The device is not available'),
  git_failed: kind(500, 'git failed'),
  index_failed: kind(500, 'The index job failed'),
  gateway_unreachable: kind(503, 'No gateway answers', { retryable: true }),
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_KINDS;

/**
 * Failures that leave a caller without a vector, through no fault of its own: a lexical answer is better than none, and it says why the first
 * tier did not answer. A wrong space is not one of them: that is a wrong deployment.
 */
export const NO_VECTOR_CODES: ReadonlySet<ErrorCode> = new Set([
  'no_tier_available',
  'queue_down',
  'storage_full', // the queue's disk
  'deadline_exceeded',
  'embedding_failed',
  'shutting_down', // the worker's; the gateway's own ends connections
  'worker_misaligned',
  'internal',
]);

/** What callers may see beside the message. Never put secrets or texts of users here. */
export interface ErrorDetails {
  retryAfterMs?: number;
  [key: string]: unknown;
}

/** The one error type of Embergate: a code of {@link ERROR_KINDS}, a sentence for people, its cause. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; details?: ErrorDetails } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.details = options.details ?? {};
  }

  get kind(): ErrorKind {
    return ERROR_KINDS[this.code];
  }
}

/** Any thrown value as an AppError: what has no code of ours is `internal`. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    error.code in ERROR_KINDS
  ) {
    return new AppError(error.code as ErrorCode, error.message, { cause: error });
  }
  return new AppError('internal', error instanceof Error ? error.message : String(error), { cause: error });
}
