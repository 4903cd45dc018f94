import { describe, expect, it } from 'vitest';
import { openApiDocument } from '../src/openapi.ts';
import { ROUTES, type Route } from '../src/routes.ts';

interface Operation {
  operationId: string;
  parameters?: { name: string }[];
  requestBody?: { content: { 'application/json': { schema: { additionalProperties?: boolean } } } };
  responses: Record<string, { content?: Record<string, unknown> }>;
}

describe('/openapi.json', () => {
  const document = openApiDocument('1.2.3') as {
    openapi: string;
    paths: Record<string, Record<string, Operation>>;
  };

  it('describes every route and no other', () => {
    const described = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method} ${path}`),
    );
    expect(described.sort()).toEqual(
      Object.values(ROUTES)
        .map(({ method, path }) => `${method} ${path}`)
        .sort(),
    );
  });

  it.each(Object.entries(ROUTES) as [string, Route][])(
    '%s: its parameters, body, answers and errors',
    (name, route) => {
      const operation = document.paths[route.path]?.[route.method];
      expect(operation?.operationId).toBe(name);
      expect((operation?.parameters ?? []).map((parameter) => `{${parameter.name}}`)).toEqual(
        route.path.match(/\{\w+\}/g) ?? [],
      );
      expect(operation?.responses).toHaveProperty(String(route.response?.status));
      for (const status of route.errors) {
        expect(operation?.responses[status]?.content).toHaveProperty(['application/problem+json']);
      }
      // Unknown fields are refused, and the document says so.
      if (route.request)
        expect(operation?.requestBody?.content['application/json'].schema.additionalProperties).toBe(false);
    },
  );

  it('is pinned: a change of the wire is a change of this snapshot', async () => {
    await expect(JSON.stringify(document, null, 2)).toMatchFileSnapshot('openapi.snapshot.json');
  });
});
