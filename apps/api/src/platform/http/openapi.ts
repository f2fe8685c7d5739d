import { ERROR_CODES, type ErrorCode, errorSchema } from '@cache-system/contracts';
import { applyDecorators, type INestApplication } from '@nestjs/common';
import {
  ApiBody,
  ApiOkResponse,
  ApiQuery,
  ApiResponse,
  DocumentBuilder,
  type OpenAPIObject,
  SwaggerModule,
} from '@nestjs/swagger';
import { z } from 'zod';

type JsonSchema = Record<string, unknown>;

const SERVER_ERRORS: readonly ErrorCode[] = ['INTERNAL_SERVER_ERROR'];
/** Schemas with an id that bodies refer to; they join the document's components. */
const components: Record<string, JsonSchema> = {};

/** The query parameters of a route, one by one, from the schema that validates them. */
export function ApiQueries(schema: z.ZodType): MethodDecorator {
  const { properties = {}, required = [] } = toJsonSchema(schema) as {
    properties?: Record<string, JsonSchema>;
    required?: string[];
  };
  return applyDecorators(
    ...Object.entries(properties).map(([name, { description, example, ...rest }]) =>
      ApiQuery({
        name,
        required: required.includes(name),
        schema: rest,
        ...(typeof description === 'string' && { description }),
        ...(example !== undefined && { example }),
      }),
    ),
  );
}

/** The JSON body of a route that reads it by itself, from the schema that it validates with. */
export function ApiJsonBody(schema: z.ZodType, example: unknown, required = true): MethodDecorator {
  return ApiBody({ required, schema: toJsonSchema(schema), examples: { example: { value: example } } });
}

/** A stream of server-sent events. OpenAPI 3.0 has no words for one: it is shown as the list of what `data` holds. */
export function ApiEventStream(schema: z.ZodType, example: string): MethodDecorator {
  const content = { 'text/event-stream': { schema: toJsonSchema(z.array(schema)), example } };
  return ApiOkResponse({ description: 'The stream', content });
}

/** The errors that are a route's own, beside those that every route has. */
export function ApiErrors(...codes: ErrorCode[]): MethodDecorator {
  const all = [...codes, ...SERVER_ERRORS];
  const statuses = new Set(all.map((code) => ERROR_CODES[code].status));
  return applyDecorators(
    ...[...statuses].map((status) => {
      const sameStatus = all.filter((code) => ERROR_CODES[code].status === status);
      return ApiResponse({
        status,
        description: sameStatus.map((code) => `\`${code}\`: ${ERROR_CODES[code].message}`).join('. '),
        standardSchema: errorSchema,
        examples: Object.fromEntries(sameStatus.map((code) => [code, { summary: code, value: errorExample(code) }])),
      });
    }),
  );
}

/** The OpenAPI document of the application: generated, so that it says what the code does. */
export function createDocument(app: INestApplication, version: string): OpenAPIObject {
  const builder = new DocumentBuilder()
    .setTitle('Cache System')
    .setDescription('A caching service that applications in any language share over REST.')
    .setVersion(version)
    .setLicense('MIT', 'https://opensource.org/license/mit')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'An API key' }, 'api_key')
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'An access token, or an API key' }, 'bearer')
    .build();
  const document = SwaggerModule.createDocument(app, builder, {
    operationIdFactory: (_controller, method) => method,
    autoTagControllers: false,
  });
  document.components = { ...document.components, schemas: { ...components, ...document.components?.schemas } };
  return document;
}

function toJsonSchema(schema: z.ZodType): JsonSchema {
  const {
    definitions,
    $schema: _,
    ...own
  } = z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input' }) as JsonSchema;
  for (const [id, definition] of Object.entries((definitions ?? {}) as Record<string, JsonSchema>)) {
    components[id] = withComponentRefs(definition);
  }
  return withComponentRefs(own);
}

function withComponentRefs(schema: JsonSchema): JsonSchema {
  return JSON.parse(JSON.stringify(schema).replaceAll('#/definitions/', '#/components/schemas/')) as JsonSchema;
}

function errorExample(code: ErrorCode) {
  return {
    error: {
      code,
      message: ERROR_CODES[code].message,
      details: {},
      metadata: {
        request_id: 'req_0123456789000001',
        timestamp: '2026-01-15T10:30:00.000Z',
        api_version: 'v1',
        response_time_ms: 1,
      },
    },
  };
}
