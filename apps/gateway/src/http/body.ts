import { AppError } from '@embergate/contracts/errors.ts';
import express, { type RequestHandler } from 'express';

const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads a JSON body. Express's own parser reads bytes that are not UTF-8 as U+FFFD and says nothing, and would let a web
 * page post a form: only application/json is read here, which a page of another origin can't send without a preflight.
 */
export function jsonBody(limitBytes: number): RequestHandler[] {
  const onlyJson: RequestHandler = (request, _response, next) => {
    if (request.is('application/json')) return next();
    throw new AppError('unsupported_media_type', 'Send the body with Content-Type: application/json.');
  };
  const read = express.raw({ type: () => true, limit: limitBytes, inflate: true });
  const readBounded: RequestHandler = (request, response, next) => {
    read(request, response, (error?: unknown) =>
      next(error === undefined ? undefined : readFailure(error, limitBytes)),
    );
  };
  const parse: RequestHandler = (request, _response, next) => {
    request.body = parseJson(Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0));
    next();
  };
  return [onlyJson, readBounded, parse];
}

function parseJson(bytes: Buffer): unknown {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch (error) {
    throw new AppError('invalid_utf8', 'The body holds bytes that are not UTF-8.', { cause: error });
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AppError('invalid_json', `The body is not JSON: ${(error as Error).message}`, { cause: error });
  }
}

function readFailure(error: unknown, limitBytes: number): AppError {
  const type = error instanceof Error && 'type' in error ? error.type : '';
  if (type === 'entity.too.large') {
    return new AppError('payload_too_large', `The body may have ${limitBytes} bytes at most.`, {
      cause: error,
    });
  }
  return new AppError(
    'invalid_request',
    error instanceof Error ? error.message : 'The body could not be read.',
    { cause: error },
  );
}
