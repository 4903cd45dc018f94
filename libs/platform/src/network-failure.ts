/** Why fetch() got no answer. */
export interface NetworkFailure {
  /** The other end is there, and its certificate is not trusted. */
  isUntrusted: boolean;
  /** `ECONNREFUSED` and the like. */
  code: string;
}

const TLS_CODE = /CERT|^ERR_TLS|^ERR_SSL|^EPROTO$|SELF_SIGNED|^UNABLE_TO_/;

/** Tells by the code alone: what else fetch() says may quote the request. */
export function networkFailure(thrown: unknown): NetworkFailure {
  const code = codeOf(thrown);
  return { isUntrusted: TLS_CODE.test(code), code };
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
