import { QdrantClient } from '@qdrant/js-client-rest';
import { describe } from 'vitest';
import { describeVectorStore } from '@embergate/vector-store/conformance.ts';
import { parseEndpoint } from '../src/endpoint.ts';
import { createQdrantStore } from '../src/qdrant-store.ts';

const url = process.env['QDRANT_URL'];
const apiKey = process.env['QDRANT_API_KEY'];

// Empties the Embergate collections of that Qdrant: never point it at one that somebody uses.
describe.skipIf(url === undefined)('with the Qdrant at QDRANT_URL', () => {
  describeVectorStore('Qdrant', async () => ({
    open: async () => createQdrantStore({ url: url ?? '', apiKey }),
    remove: async () => {
      const client = new QdrantClient({ ...parseEndpoint(url ?? ''), checkCompatibility: false });
      for (const { name } of (await client.getCollections()).collections) {
        if (name.startsWith('embergate_')) await client.deleteCollection(name);
      }
    },
  }));
});
