import type { OpenAPIObject } from '@nestjs/swagger';
import type { Route } from '../platform/http/route-table.js';

/** Served beside the API, for people and without credentials: the document itself and the admin app. */
const BESIDE_THE_API = /^\/(docs|docs-json|docs-yaml|admin)(\/.*)?$/;

/** Routes that the server has and the document does not: nobody would say who may call them. */
export function undocumentedRoutes(routes: readonly Route[], { paths }: OpenAPIObject): string[] {
  const documented = new Set(
    Object.entries(paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path.replace(/\{\w+\}/g, '*')}`),
    ),
  );
  return routes
    .filter(({ url }) => !BESIDE_THE_API.test(url))
    .map(({ method, url }) => `${method} ${url.replace(/:\w+/g, '*')}`)
    .filter((route) => !documented.has(route) && !documented.has(route.replace(/^HEAD /, 'GET ')));
}
