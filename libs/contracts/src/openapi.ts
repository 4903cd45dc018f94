import { z } from 'zod';
import { ERROR_KINDS } from './errors.ts';
import { problemSchema } from './http-cluster.ts';
import { ROUTES, type Route } from './routes.ts';

type Json = Record<string, unknown>;

const ALWAYS_POSSIBLE = [400, 401, 403, 500];

/** The OpenAPI 3.1 document, made from the route table and its schemas. */
export function openApiDocument(version: string): Json {
  const paths: Record<string, Json> = {};
  for (const [name, route] of Object.entries(ROUTES)) {
    (paths[route.path] ??= {})[route.method] = operation(name, route);
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Embergate', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    paths,
    components: {
      schemas: { Problem: z.toJSONSchema(problemSchema, { io: 'output' }) },
      securitySchemes: { apiKey: { type: 'http', scheme: 'bearer' } },
    },
  };
}

function operation(name: string, route: Route): Json {
  const parameters = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => ({
    name: parameter,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  return {
    operationId: name,
    summary: route.summary,
    ...(route.scope && { security: [{ apiKey: [] }, {}], 'x-scope': route.scope }),
    ...(parameters.length > 0 && { parameters }),
    ...(route.request && {
      requestBody: {
        required: true,
        content: { 'application/json': { schema: z.toJSONSchema(route.request, { io: 'input' }) } },
      },
    }),
    responses: { ...success(route), ...failures(route) },
  };
}

function success({ response }: Route): Json {
  if (!response) return {};
  const { status, schema, contentType } = response;
  return {
    [status]: {
      description: 'Done',
      ...(contentType && {
        content: { [contentType]: { schema: schema ? z.toJSONSchema(schema, { io: 'output' }) : {} } },
      }),
    },
  };
}

function failures({ errors }: Route): Json {
  const statuses = [...new Set([...ALWAYS_POSSIBLE, ...errors])].sort((a, b) => a - b);
  const titles = (status: number): string =>
    Object.entries(ERROR_KINDS)
      .filter(([, kind]) => kind.http === status)
      .map(([code]) => code)
      .join(', ');
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      {
        description: titles(status),
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  );
}
