import { AppError } from '@embergate/contracts/errors.ts';

/** What the client wants in pieces: given a whole URL, it drops the path and takes port 6333 for https too. */
export interface QdrantEndpoint {
  host: string;
  port: number;
  https: boolean;
  /** Path in front of all routes, such as `/qdrant` behind a proxy; empty for none. */
  prefix: string;
}

const QDRANT_PORT = 6333;
const EXPLICIT_PORT = /^https?:\/\/(?:[^/@]*@)?(?:\[[^\]]*\]|[^:/?#]+):(\d+)/i;

/**
 * Reads `QDRANT_URL`. Without a port, https means 443 (a proxy or a cloud) and http means Qdrant's own 6333. Throws
 * `config_invalid`.
 */
export function parseEndpoint(url: string): QdrantEndpoint {
  const parsed = URL.parse(url);
  if (parsed === null || !['http:', 'https:'].includes(parsed.protocol)) {
    throw new AppError(
      'config_invalid',
      `QDRANT_URL is "${url}"; allowed is http://host[:port][/path] or https://...`,
    );
  }
  if (parsed.username + parsed.password !== '') {
    // Not quoted: it holds a secret.
    throw new AppError(
      'config_invalid',
      'QDRANT_URL must not hold a user or password; QDRANT_API_KEY is for a key',
    );
  }
  if (parsed.search + parsed.hash !== '') {
    throw new AppError('config_invalid', `QDRANT_URL is "${url}"; it must end with the host, port or path`);
  }
  const https = parsed.protocol === 'https:';
  // URL hides a port that is the scheme's default, though somebody wrote it.
  const port = Number(EXPLICIT_PORT.exec(url)?.[1] ?? (https ? 443 : QDRANT_PORT));
  return { host: parsed.hostname, port, https, prefix: parsed.pathname.replace(/\/+$/, '') };
}
