import type { OpenAPIObject } from '@nestjs/swagger';
import { undocumentedRoutes } from './undocumented-routes.js';

const document = {
  paths: { '/v1/things/{id}': { get: {}, delete: {} }, '/object/{key}': { put: {} } },
} as unknown as OpenAPIObject;
const left = (...routes: string[]) =>
  undocumentedRoutes(
    routes.map((route) => route.split(' ')).map(([method = '', url = '']) => ({ method, url })),
    document,
  );

describe('a route that the document leaves out', () => {
  test('is none that it has, under whatever name of a parameter, nor the HEAD of a GET', () => {
    expect(left('GET /v1/things/:id', 'HEAD /v1/things/:thing', 'DELETE /v1/things/:id', 'PUT /object/*')).toEqual([]);
  });

  test.each([
    ['GET /v1/things', 'GET /v1/things'],
    ['PUT /v1/things/:id', 'PUT /v1/things/*'],
    ['HEAD /object/*', 'HEAD /object/*'],
    ['GET /v1/admin/secret', 'GET /v1/admin/secret'],
    ['GET /administration', 'GET /administration'],
  ])('is %s', (route, told) => {
    expect(left(route)).toEqual([told]);
  });

  test('is nothing of the document itself and of the admin app', () => {
    expect(left('GET /docs', 'GET /docs/*', 'GET /docs-json', 'GET /admin', 'GET /admin/assets/*')).toEqual([]);
  });
});
