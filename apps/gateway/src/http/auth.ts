import { AppError } from '@embergate/contracts/errors.ts';
import { SCOPES, type Scope } from '@embergate/contracts/routes.ts';
import type { RequestHandler } from 'express';
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';

/** API_KEYS_FILE. Keys themselves are never stored. */
const keysFileSchema = z.strictObject({
  keys: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
        scopes: z.array(z.enum(SCOPES)).min(1),
      }),
    )
    .min(1),
});
export type ApiKeys = z.infer<typeof keysFileSchema>['keys'];

/** @throws AppError `config_invalid` naming the file and what is wrong with it. */
export async function loadApiKeys(file: string): Promise<ApiKeys> {
  try {
    return keysFileSchema.parse(JSON.parse(await readFile(file, 'utf8'))).keys;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    const why = missing
      ? 'it does not exist. `embergate keys create NAME` makes it with a first key.'
      : reason;
    throw new AppError('config_invalid', `API_KEYS_FILE ${file} cannot be used: ${why}`, { cause: error });
  }
}

/** Checks the bearer key of a request. Without keys everything on loopback is allowed and the header is ignored. */
export function requireScope(keys: ApiKeys | null, scope: Scope): RequestHandler {
  return (request, response, next) => {
    if (!keys) return next();
    const [, token] = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
    const known = token === undefined ? undefined : findKey(keys, token);
    if (!known) throw new AppError('unauthorized', 'Send a valid key: Authorization: Bearer KEY.');
    if (!known.scopes.includes(scope))
      throw new AppError('forbidden', `The key "${known.name}" lacks the scope ${scope}.`);
    response.locals['keyName'] = known.name;
    next();
  };
}

function findKey(keys: ApiKeys, token: string): ApiKeys[number] | undefined {
  const digest = createHash('sha256').update(token).digest();
  return keys.find(({ sha256 }) => timingSafeEqual(digest, Buffer.from(sha256, 'hex')));
}
