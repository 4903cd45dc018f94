import { AppError } from '@embergate/contracts/errors.ts';

/** What to do about files that do not fit together. */
export const REMEDY = 'Export and embed again, or import the files as they were written';

export const vectorsInvalid = (message: string, cause?: unknown): AppError =>
  new AppError('vectors_invalid', message, { cause });

/** @throws AppError `vectors_invalid` for what is not JSON in UTF-8. */
export function parseJsonBytes(bytes: Buffer, place: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw vectorsInvalid(`${place}: not JSON in UTF-8. ${REMEDY}.`, error);
  }
}
