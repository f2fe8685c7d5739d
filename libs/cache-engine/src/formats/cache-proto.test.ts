import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as contracts from '@cache-system/contracts';
import { type MessageSchema, messageSchema } from './protobuf-schema.js';

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly type?: string;
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
}
interface Schema {
  meta(): { readonly id?: string } | undefined;
  toJSONSchema(options: object): JsonSchema;
}

/** Published under another name. */
const MESSAGE_NAMES: Readonly<Record<string, string>> = { DeleteManyResponse: 'DeleteResponse' };
/** Not in Protocol Buffers: its media type is JSON. */
const JSON_ONLY = 'JsonPatch';

// The package exports the schemas of all endpoints; those of the cache are the ones of this file.
const cacheContract = readFileSync(join(__dirname, '../../../contracts/src/cache.ts'), 'utf8');
const exported = new Map(Object.entries<unknown>(contracts));
const messages = [...cacheContract.matchAll(/^export const (\w+Schema)\b/gm), [, 'errorSchema']]
  .map(([, name = '']) => exported.get(name) as Schema)
  .flatMap((schema) => {
    const id = schema.meta()?.id;
    if (id === undefined || id === JSON_ONLY) return [];
    return [{ name: MESSAGE_NAMES[id] ?? id, schema: schema.toJSONSchema({ unrepresentable: 'any' }) }];
  });

test('every body of the cache endpoints has its message', () => {
  expect(messages.map(({ name }) => name).sort()).toEqual([
    'BulkDeleteRequest',
    'BulkDeleteResponse',
    'BulkGetRequest',
    'BulkGetResponse',
    'BulkSetRequest',
    'BulkSetResponse',
    'DeleteResponse',
    'DeletionJob',
    'Error',
    'IncrementRequest',
    'IncrementResponse',
    'InvalidateRequest',
    'InvalidateResponse',
    'ListResponse',
    'PatchRequest',
    'ReadMetadata',
    'ReadResponse',
    'TouchRequest',
    'TouchResponse',
    'WriteOptions',
    'WriteRequest',
    'WriteResponse',
  ]);
});

test.each(messages)('every member of $name has a field of its kind', ({ name, schema }) => {
  expect(mistakes(schema, messageSchema(name), schema.$defs ?? {})).toEqual([]);
});

const KINDS: Readonly<Record<string, readonly string[]>> = {
  string: ['string'],
  boolean: ['bool'],
  integer: ['int64'],
  number: ['double', 'value'],
};

function mistakes(schema: JsonSchema, message: MessageSchema, defs: Readonly<Record<string, JsonSchema>>): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, member]) => {
    const field = message.byName.get(name);
    if (!field) return [`${message.name} has no field ${name}`];
    const { type } = field;
    if (type.kind === 'value' || type.kind === 'struct') return [];
    let content = resolved(member, defs);
    if (field.label === 'repeated') content = resolved(content.items ?? {}, defs);
    if (field.label === 'map') content = resolved(content.additionalProperties as JsonSchema, defs);
    if (type.kind === 'message') return mistakes(content, messageSchema(type.message), defs);
    const kinds = KINDS[content.type ?? ''] ?? [];
    return kinds.includes(type.kind) ? [] : [`${message.name}.${name} is ${type.kind} and not ${String(content.type)}`];
  });
}

/** What a member is when it is there and not null. */
function resolved(schema: JsonSchema, defs: Readonly<Record<string, JsonSchema>>): JsonSchema {
  if (schema.$ref !== undefined) return defs[schema.$ref.replace('#/$defs/', '')] ?? {};
  const present = schema.anyOf?.filter(({ type }) => type !== 'null');
  return present?.length === 1 && present[0] ? resolved(present[0], defs) : schema;
}
