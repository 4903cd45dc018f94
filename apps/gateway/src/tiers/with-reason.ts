import { AppError } from '@embergate/contracts/errors.ts';

/** The same error with the reason that responses and headers name; null leaves it as it is. */
export function withReason(error: AppError, reason: string | null): AppError {
  if (reason === null) return error;
  const { code, message, cause, details } = error;
  return new AppError(code, message, { cause, details: { ...details, reason } });
}
