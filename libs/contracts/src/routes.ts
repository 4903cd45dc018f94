import type { z } from 'zod';
import { adoptionPreviewSchema, adoptionRequestSchema } from './adoption.ts';
import { clusterSchema, collectionListSchema, collectionSchema, listOf } from './http-cluster.ts';
import {
  embeddingsRequestSchema,
  embeddingsResponseSchema,
  modelsResponseSchema,
} from './http-embeddings.ts';
import { searchRequestSchema, searchResponseSchema } from './http-search.ts';
import { indexJobRequestSchema, indexJobSchema } from './index-job.ts';

export const SCOPES = ['search', 'index', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

export interface Route {
  method: 'get' | 'post' | 'delete';
  /** Express and OpenAPI differ in how they write parameters; this is OpenAPI's form. */
  path: string;
  summary: string;
  /** null: open to everybody who can reach the port. */
  scope: Scope | null;
  request?: z.ZodType;
  response?: { status: number; schema?: z.ZodType; contentType?: string };
  /** Statuses of errors beside 400, 401, 403 and 500, which any route may answer. */
  errors: number[];
  /** Bytes; larger bodies get 413. */
  bodyLimit?: number;
}

const json = (schema: z.ZodType, status = 200) => ({ status, schema, contentType: 'application/json' });
const stream = { status: 200, contentType: 'text/event-stream' };

/** Every route of the gateway. The gateway mounts exactly these, and /openapi.json is made from them. */
export const ROUTES = {
  search: {
    method: 'post',
    path: '/v1/search',
    summary: 'Search a collection',
    scope: 'search',
    request: searchRequestSchema,
    response: json(searchResponseSchema),
    errors: [404, 409, 413, 415, 422, 503, 504],
    bodyLimit: 256 * 1024,
  },
  embeddings: {
    method: 'post',
    path: '/v1/embeddings',
    summary: "Embed texts (OpenAI's shape)",
    scope: 'search',
    request: embeddingsRequestSchema,
    response: json(embeddingsResponseSchema),
    errors: [404, 413, 415, 422, 503, 504],
    bodyLimit: 32 * 1024 * 1024,
  },
  models: {
    method: 'get',
    path: '/v1/models',
    summary: 'Models this gateway embeds with',
    scope: 'search',
    response: json(modelsResponseSchema),
    errors: [],
  },
  createIndexJob: {
    method: 'post',
    path: '/v1/index-jobs',
    summary: 'Index a source',
    scope: 'index',
    request: indexJobRequestSchema,
    response: json(indexJobSchema, 202),
    errors: [404, 409, 413, 415, 503],
    bodyLimit: 64 * 1024,
  },
  listIndexJobs: {
    method: 'get',
    path: '/v1/index-jobs',
    summary: 'Index jobs, newest first',
    scope: 'index',
    response: json(listOf(indexJobSchema)),
    errors: [503],
  },
  getIndexJob: {
    method: 'get',
    path: '/v1/index-jobs/{id}',
    summary: 'One index job',
    scope: 'index',
    response: json(indexJobSchema),
    errors: [404, 503],
  },
  watchIndexJob: {
    method: 'get',
    path: '/v1/index-jobs/{id}/events',
    summary: 'One index job as server-sent events, until it ends',
    scope: 'index',
    response: stream,
    errors: [404, 503],
  },
  cancelIndexJob: {
    method: 'delete',
    path: '/v1/index-jobs/{id}',
    summary: 'Cancel an index job',
    scope: 'index',
    response: json(indexJobSchema, 202),
    errors: [404, 409, 503],
  },
  listCollections: {
    method: 'get',
    path: '/v1/collections',
    summary: 'Collections',
    scope: 'search',
    response: json(collectionListSchema),
    errors: [503],
  },
  getCollection: {
    method: 'get',
    path: '/v1/collections/{name}',
    summary: 'One collection: space, counts, repos',
    scope: 'search',
    response: json(collectionSchema),
    errors: [404, 409, 503],
  },
  previewAdoption: {
    method: 'post',
    path: '/v1/collections/{name}/adopt/preview',
    summary: 'What adopting a collection of Qdrant that another program filled would do',
    scope: 'admin',
    request: adoptionRequestSchema,
    response: json(adoptionPreviewSchema),
    errors: [404, 409, 413, 415, 503],
    bodyLimit: 64 * 1024,
  },
  adoptCollection: {
    method: 'post',
    path: '/v1/collections/{name}/adopt',
    summary: 'Copy a collection of Qdrant that another program filled: one index job for each of its repos',
    scope: 'admin',
    request: adoptionRequestSchema,
    response: json(listOf(indexJobSchema), 202),
    errors: [404, 409, 413, 415, 422, 503],
    bodyLimit: 64 * 1024,
  },
  deleteCollection: {
    method: 'delete',
    path: '/v1/collections/{name}',
    summary: 'Delete a collection with all its chunks',
    scope: 'admin',
    response: { status: 204 },
    errors: [404, 409, 503],
  },
  cluster: {
    method: 'get',
    path: '/v1/cluster',
    summary: 'Tiers, workers and lanes',
    scope: 'search',
    response: json(clusterSchema),
    errors: [503],
  },
  clusterEvents: {
    method: 'get',
    path: '/v1/cluster/events',
    summary: 'The same as server-sent events, every second',
    scope: 'search',
    response: stream,
    errors: [503],
  },
  livez: {
    method: 'get',
    path: '/livez',
    summary: 'The event loop turns',
    scope: null,
    response: { status: 200, contentType: 'application/json' },
    errors: [],
  },
  readyz: {
    method: 'get',
    path: '/readyz',
    summary: 'A search can be answered now; says why not',
    scope: null,
    response: { status: 200, contentType: 'application/json' },
    errors: [503],
  },
  metrics: {
    method: 'get',
    path: '/metrics',
    summary: 'Prometheus metrics',
    scope: null,
    response: { status: 200, contentType: 'text/plain' },
    errors: [],
  },
  openapi: {
    method: 'get',
    path: '/openapi.json',
    summary: 'This document',
    scope: null,
    response: { status: 200, contentType: 'application/json' },
    errors: [],
  },
} as const satisfies Record<string, Route>;

export type RouteName = keyof typeof ROUTES;
