import { AppError, ERROR_KINDS, toAppError } from '@embergate/contracts/errors.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import type { ErrorRequestHandler, Response } from 'express';

/** Paths whose clients expect OpenAI's error object. */
const OPENAI_PATHS = /^\/v1\/(embeddings|models)(\/|$)/;

/** The one place where an error becomes an HTTP answer: RFC 9457 problem+json. */
export const problemHandler =
  (log: Logger): ErrorRequestHandler =>
  // eslint-disable-next-line max-params -- by its four parameters Express knows an error handler
  (thrown: unknown, request, response: Response, _next) => {
    // Nobody is there any more to be told, and nothing is wrong.
    if (response.destroyed || response.writableEnded) return;
    const error = errorOf(thrown);
    const requestId = String(response.locals['requestId'] ?? '');
    log[error.kind.logLevel](
      { err: error.kind.http >= 500 ? thrown : undefined, code: error.code, requestId },
      error.message,
    );
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const { http: status, title } = ERROR_KINDS[error.code];
    const detail =
      error.code === 'internal' ? 'See the log of the gateway for this request id.' : error.message;
    const { retryAfterMs, ...rest } = error.details;
    const waitMs = retryAfterMs ?? (status === 503 || status === 429 ? 1_000 : undefined);
    if (waitMs !== undefined) response.set('Retry-After', String(Math.max(1, Math.ceil(waitMs / 1_000))));
    if (status === 401) response.set('WWW-Authenticate', 'Bearer');
    response
      .status(status)
      .type('application/problem+json')
      .send(
        JSON.stringify({
          type: `urn:embergate:error:${error.code}`,
          title,
          status,
          code: error.code,
          detail,
          requestId,
          ...(waitMs !== undefined && { retryAfterMs: waitMs }),
          ...publicDetails(rest),
          ...(OPENAI_PATHS.test(request.path) && { error: openAiError(error, detail) }),
        }),
      );
  };

/** Express decodes what stands in a path, and throws where a percent sign begins no character. */
const errorOf = (thrown: unknown): AppError =>
  thrown instanceof URIError
    ? new AppError('invalid_request', 'The path is not percent-encoded UTF-8.', { cause: thrown })
    : toAppError(thrown);

/** Details callers may act on; causes and reasons stay inside unless named here. */
function publicDetails({ jobId, reason, issues }: Record<string, unknown>): Record<string, unknown> {
  return {
    ...(jobId !== undefined && { jobId }),
    ...(reason !== undefined && { reason }),
    ...(issues !== undefined && { issues }),
  };
}

function openAiError({ code, kind }: AppError, message: string): Record<string, unknown> {
  const type =
    kind.http === 429 ? 'rate_limit_error' : kind.http < 500 ? 'invalid_request_error' : 'server_error';
  return { message, type, param: null, code };
}
