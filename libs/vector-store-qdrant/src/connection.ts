import { QdrantClient } from '@qdrant/js-client-rest';
import { parseEndpoint } from './endpoint.ts';

export interface QdrantConnection {
  /** http(s)://host[:port][/path] */
  url: string;
  apiKey?: string | undefined;
}

/** A client whose requests end after so many milliseconds. Does not connect by itself. Throws `config_invalid`. */
export const connect = ({ url, apiKey }: QdrantConnection, timeoutMs: number): QdrantClient =>
  new QdrantClient({
    ...parseEndpoint(url),
    timeout: timeoutMs,
    // The client would ask for the server's version behind our back, and print what it thinks of it.
    checkCompatibility: false,
    headers: {
      // Qdrant 1.19 sends a compressed answer in pieces, without TCP_NODELAY: the last one waits some 40 ms for an acknowledgement.
      'accept-encoding': 'identity',
      // As a header: given as `apiKey`, the client prints a warning where the connection is not https.
      ...(apiKey !== undefined && { 'api-key': apiKey }),
    },
  });
