import { PERMISSIONS } from '@cache-system/contracts';
import { z } from 'zod';
import type { Client } from './client.js';

const referenceSchema = z.looseObject({ $ref: z.string().optional() });
const contentSchema = z.record(
  z.string(),
  z.looseObject({
    schema: referenceSchema,
    example: z.unknown().optional(),
    examples: z.record(z.string(), z.unknown()).optional(),
  }),
);
const operationSchema = z.looseObject({
  operationId: z.string().min(1),
  summary: z.string().min(1),
  description: z.string().min(1),
  tags: z.array(z.string()).min(1),
  'x-permission': z.enum(['public', 'authenticated', ...PERMISSIONS]),
  security: z.array(z.record(z.string(), z.array(z.string()))).optional(),
  parameters: z.array(
    z.looseObject({
      name: z.string().min(1),
      in: z.enum(['query', 'header', 'path']),
      required: z.boolean().optional(),
      schema: referenceSchema,
    }),
  ),
  requestBody: z.looseObject({ required: z.boolean().optional(), content: contentSchema }).optional(),
  responses: z.record(
    z.string().regex(/^[1-5]\d\d$/),
    z.looseObject({ description: z.string(), content: contentSchema.optional() }),
  ),
});

/** What OpenAPI 3.0 asks of a document, and what we ask of ours on top. */
export const documentSchema = z.looseObject({
  openapi: z.string().regex(/^3\.0\.\d$/),
  info: z.looseObject({
    title: z.string().min(1),
    version: z.string().regex(/^\d+\.\d+\.\d+/),
    description: z.string().min(1),
  }),
  paths: z.record(
    z.string().startsWith('/'),
    z.partialRecord(z.enum(['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']), operationSchema),
  ),
  components: z.looseObject({
    schemas: z.record(z.string().regex(/^[\w.-]+$/), z.looseObject({})),
    securitySchemes: z.record(z.string(), z.looseObject({ type: z.string(), description: z.string().min(1) })),
  }),
});

type ApiDocument = z.infer<typeof documentSchema>;

export interface Operation extends z.infer<typeof operationSchema> {
  readonly method: string;
  readonly path: string;
}

/** Where an operation finds nothing, so that it changes nothing. What would be a stream is asked for what it does not know. */
export function pathToNothing({ path }: Operation): string {
  const isStream = path === '/v1/cache/events';
  return `${path.replace(/\{\w+\}/g, 'not-there')}${isStream ? '?not-there=1' : ''}`;
}

/** The query without which an operation on many entries does nothing, so that it means all of them. */
export function queryOfAll({ parameters }: Operation): string {
  return parameters.some(({ in: where, name }) => where === 'query' && name === 'pattern') ? '?pattern=*' : '';
}

/** A body that an operation takes, as the document shows it; undefined where it takes none. */
export function exampleBody({ requestBody }: Operation, { components: { schemas } }: ApiDocument): unknown {
  const { example, examples = {}, schema } = requestBody?.content['application/json'] ?? {};
  if (example !== undefined) return example;
  const [shown] = Object.values(examples) as { value?: unknown }[];
  if (shown) return shown.value;
  const component = schemas[schema?.$ref?.split('/').at(-1) ?? ''] as
    { example?: unknown; properties?: Record<string, { example?: unknown }> } | undefined;
  if (component?.example !== undefined) return component.example;
  const fields = Object.entries(component?.properties ?? {}).filter(([, field]) => field.example !== undefined);
  return requestBody && Object.fromEntries(fields.map(([name, field]) => [name, field.example]));
}

/** Every operation of the document that the service publishes. */
export async function readOperations(client: Client): Promise<Operation[]> {
  const document = documentSchema.parse((await client.get('/docs-json')).json);
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ ...operation, method: method.toUpperCase(), path })),
  );
}
