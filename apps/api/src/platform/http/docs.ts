import type { INestApplication } from '@nestjs/common';
import { SwaggerModule } from '@nestjs/swagger';
import { VERSION } from '../version.js';
import { createDocument } from './openapi.js';

/** Swagger UI at `/docs`, the document at `/docs-json`. */
export function serveDocs(app: INestApplication): void {
  SwaggerModule.setup('docs', app, () => createDocument(app, VERSION), {
    jsonDocumentUrl: 'docs-json',
    customSiteTitle: 'Cache System API',
    swaggerOptions: { persistAuthorization: true, displayRequestDuration: true },
  });
}
