import { AddressLimits } from '../auth/limits/address-limits.js';
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from '../app.module.js';
import { FastLane } from '../cache/fast-lane.js';
import { Cors } from '../platform/http/cors.js';
import { createFastify } from '../platform/http/fastify.js';
import { serveAdminApp } from '../platform/http/admin-app.js';
import { serveDocs } from '../platform/http/docs.js';
import { Overload } from '../platform/http/overload.js';
import { RouteTable } from '../platform/http/route-table.js';
import { nestLogger } from '../platform/logging.js';
import type { Foundations } from '../platform/platform.module.js';

/** Swagger UI is for whoever may look at the server: in production only where the configuration says so. */
export function hasDocs({ environment, config }: Foundations): boolean {
  return config.current.server.docs ?? environment.NODE_ENV !== 'production';
}

/** The application on its HTTP server, ready to listen. */
export async function createApplication(foundations: Foundations): Promise<NestFastifyApplication> {
  const fastify = createFastify(foundations.config.current, foundations.traffic);
  const routes = new RouteTable(fastify);
  const adapter = new FastifyAdapter(fastify);
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.of(foundations, routes), adapter, {
    logger: nestLogger,
    bodyParser: false,
    abortOnError: false,
  });
  app.setGlobalPrefix('v1', { exclude: ['health/live', 'health/ready', 'object/*key'] });
  await serveAdminApp(fastify);
  if (hasDocs(foundations)) serveDocs(app, fastify);
  app.get(AddressLimits).watch(fastify);
  // The last is asked first: what is answered from memory costs no more than to refuse it.
  app.get(Overload).open(app.getHttpServer());
  app.get(FastLane).open(app.getHttpServer());
  app.get(Cors).open(app.getHttpServer());
  return app;
}
