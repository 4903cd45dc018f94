import { networkFailure as failureOf } from '@embergate/platform/network-failure.ts';
import { ApiError } from './api-error.ts';

/** Why fetch() got no answer, as a verdict on the API. */
export function networkFailure(thrown: unknown, shown: string): ApiError {
  const { isUntrusted, code } = failureOf(thrown);
  return isUntrusted
    ? new ApiError(
        'misconfigured',
        `${shown} is not trusted (${code}); NODE_EXTRA_CA_CERTS names more authorities.`,
      )
    : new ApiError('away', `${shown} cannot be reached (${code}).`);
}
