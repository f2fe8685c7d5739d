import type { INestApplication } from '@nestjs/common';
import { SwaggerModule } from '@nestjs/swagger';
import type { FastifyInstance, onRequestHookHandler } from 'fastify';
import { VERSION } from '../version.js';
import { createDocument } from './openapi.js';
import { PAGE_HEADERS } from './page-security.js';

const DOCS = /^\/docs(?=\/|$)/;

/** Swagger UI at `/docs`, the document at `/docs-json`. */
export function serveDocs(app: INestApplication, fastify: FastifyInstance): void {
  fastify.addHook('onRoute', (route) => {
    if (DOCS.test(route.url)) route.onRequest = sendPageHeaders;
  });
  SwaggerModule.setup('docs', app, () => createDocument(app, VERSION), {
    jsonDocumentUrl: 'docs-json',
    customSiteTitle: 'Cache System API',
    swaggerOptions: { persistAuthorization: true, displayRequestDuration: true },
  });
}

const sendPageHeaders: onRequestHookHandler = (_request, reply, done) => {
  reply.headers(PAGE_HEADERS);
  done();
};
