import { AppError } from '@embergate/contracts/errors.ts';
import { ROUTES, type Route, type RouteName } from '@embergate/contracts/routes.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import express, { type Express, type Request, type RequestHandler, type Response } from 'express';
import { randomUUID } from 'node:crypto';
import type { z } from 'zod';
import { requireScope, type ApiKeys } from './http/auth.ts';
import { jsonBody } from './http/body.ts';
import { browserGuard } from './http/guard.ts';
import { problemHandler } from './http/problem.ts';

/** A route's own work. The body has been read, and parsed by the route's schema. */
export type Handler = (request: Request, response: Response) => unknown;
export type Handlers = Record<RouteName, Handler>;

export interface AppOptions {
  handlers: Handlers;
  keys: ApiKeys | null;
  log: Logger;
}

/** Mounts every route of the contract; a route without a handler does not compile. */
export function createApp({ handlers, keys, log }: AppOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(requestId);
  app.use(browserGuard({ checkHost: keys === null }));
  for (const name of Object.keys(ROUTES) as RouteName[]) {
    const route: Route = ROUTES[name];
    app[route.method](expressPath(route.path), ...chain(route, keys), handlers[name] as RequestHandler);
  }
  app.use(unknownRoute);
  app.use(problemHandler(log));
  return app;
}

const expressPath = (path: string): string => path.replace(/\{(\w+)\}/g, ':$1');

const requestId: RequestHandler = (request, response, next) => {
  const given = request.headers['x-request-id'];
  const id = typeof given === 'string' && /^[\w.-]{1,128}$/.test(given) ? given : randomUUID();
  response.locals['requestId'] = id;
  response.set('X-Request-Id', id);
  next();
};

function chain(route: Route, keys: ApiKeys | null): RequestHandler[] {
  const { scope, request, bodyLimit } = route;
  return [
    ...(scope ? [requireScope(keys, scope)] : []),
    ...(request ? [...jsonBody(bodyLimit ?? 64 * 1024), validBody(request)] : []),
  ];
}

const validBody =
  (schema: z.ZodType): RequestHandler =>
  (request, _response, next) => {
    const parsed = schema.safeParse(request.body);
    if (!parsed.success) throw invalidRequest(parsed.error);
    request.body = parsed.data;
    next();
  };

export function invalidRequest(error: z.ZodError): AppError {
  const issues = error.issues.map((issue) => ({ path: issue.path.join('.'), message: issue.message }));
  const detail = issues.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; ');
  return new AppError('invalid_request', detail, { details: { issues } });
}

const unknownRoute: RequestHandler = (request) => {
  const known = Object.values(ROUTES).filter(({ path }) => matches(path, request.path));
  if (known.length > 0) {
    const allowed = known.map(({ method }) => method.toUpperCase()).join(', ');
    throw new AppError('method_not_allowed', `${request.path} takes ${allowed}.`);
  }
  throw new AppError('route_not_found', `There is no ${request.method} ${request.path}; see /openapi.json.`);
};

const matches = (template: string, path: string): boolean =>
  new RegExp(`^${template.replace(/[.]/g, '\\.').replace(/\{\w+\}/g, '[^/]+')}$`).test(path);
