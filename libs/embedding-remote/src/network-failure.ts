import { ApiError } from './api-error.ts';

const TLS_CODE = /CERT|^ERR_TLS|^ERR_SSL|^EPROTO$|SELF_SIGNED|^UNABLE_TO_/;

/** Why fetch() got no answer, by the code alone: what else it says may quote the request. */
export function networkFailure(thrown: unknown, shown: string): ApiError {
  const code = codeOf(thrown);
  return TLS_CODE.test(code)
    ? new ApiError(
        'misconfigured',
        `${shown} is not trusted (${code}); NODE_EXTRA_CA_CERTS names more authorities.`,
      )
    : new ApiError('away', `${shown} cannot be reached (${code}).`);
}

/** The deepest code: fetch() wraps what happened, and what happened to several addresses is a list. */
function codeOf(thrown: unknown): string {
  let code = 'unknown';
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if ('code' in error && typeof error.code === 'string') code = error.code;
    const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined;
    if (first instanceof Error && 'code' in first) code = String(first.code);
  }
  return code;
}
