import { AddressLimits } from '../auth/limits/address-limits.js';
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from '../app.module.js';
import { FastLane } from '../cache/fast-lane.js';
import { createFastify } from '../platform/http/fastify.js';
import { serveAdminApp } from '../platform/http/admin-app.js';
import { serveDocs } from '../platform/http/docs.js';
import { RouteTable } from '../platform/http/route-table.js';
import { nestLogger } from '../platform/logging.js';
import type { Foundations } from '../platform/platform.module.js';

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
  serveDocs(app);
  app.get(AddressLimits).watch(fastify);
  app.get(FastLane).open(app.getHttpServer());
  return app;
}
