import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import helmet from '@fastify/helmet';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';
import { ApiError } from './api-error.js';
import { PAGE_SECURITY } from './page-security.js';
import { respondError } from './respond.js';

/** Where the build of the admin app lies, seen from the build of the API. */
const APP_DIR = fileURLToPath(new URL('../../../../admin/dist', import.meta.url));

/** Serves the admin app below `/admin`; every path that is no file of it is a page of it, but for its assets. */
export async function serveAdminApp(fastify: FastifyInstance): Promise<void> {
  if (!existsSync(APP_DIR)) return;
  await fastify.register(async (scope) => {
    await scope.register(helmet, PAGE_SECURITY);
    await scope.register(fastifyStatic, {
      root: APP_DIR,
      prefix: '/admin/',
      wildcard: false,
      index: false,
      setHeaders: (reply, path) => {
        // Vite puts a hash of the content into these names.
        const immutable = path.startsWith(`${APP_DIR}/assets/`);
        reply.header('Cache-Control', immutable ? 'public, max-age=31536000, immutable' : 'no-cache');
      },
    });
    scope.get('/admin', (_request, reply) => reply.redirect('/admin/'));
    scope.get('/admin/', (_request, reply) => reply.sendFile('index.html'));
    scope.get('/admin/assets/*', (request, reply) => {
      const path = request.url.split('?', 1)[0] ?? '';
      respondError(request, reply, new ApiError('ROUTE_NOT_FOUND', { method: request.method, path }));
    });
    scope.get('/admin/*', (_request, reply) => reply.sendFile('index.html'));
  });
}
