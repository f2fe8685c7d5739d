import { MapField, Namespace, parse, Type } from 'protobufjs';
import { CACHE_PROTO } from './cache-proto.js';

/** What a field holds: a scalar, a google.protobuf type of its own reading, or the name of another message. */
type Kind =
  | { readonly kind: 'string' | 'bool' | 'int64' | 'double' | 'value' | 'struct' }
  | { readonly kind: 'message'; readonly message: string };

export interface MessageField {
  readonly id: number;
  readonly name: string;
  readonly type: Kind;
  readonly label: 'single' | 'repeated' | 'map';
}

export interface MessageSchema {
  readonly name: string;
  readonly byName: ReadonlyMap<string, MessageField>;
  readonly byId: ReadonlyMap<number, MessageField>;
}

const GOOGLE_TYPES: ReadonlyMap<string, 'value' | 'struct'> = new Map([
  ['google.protobuf.Value', 'value'],
  ['google.protobuf.Struct', 'struct'],
]);

let messages: ReadonlyMap<string, MessageSchema> | undefined;

/** A message of `CACHE_PROTO`, which is parsed at the first call. */
export function messageSchema(name: string): MessageSchema {
  messages ??= parseMessages();
  const message = messages.get(name);
  if (!message) throw new Error(`cache.proto has no message ${name}`);
  return message;
}

function parseMessages(): ReadonlyMap<string, MessageSchema> {
  const { root } = parse(CACHE_PROTO, { keepCase: true });
  const types = root.lookup('cache.v1');
  if (!(types instanceof Namespace)) throw new Error('cache.proto has no package cache.v1');
  const schemas = types.nestedArray.filter((each) => each instanceof Type).map(schemaOf);
  return new Map(schemas.map((schema) => [schema.name, schema]));
}

function schemaOf({ name, fieldsArray }: Type): MessageSchema {
  const fields = fieldsArray.map((field): MessageField => {
    const label = field instanceof MapField ? 'map' : field.repeated ? 'repeated' : 'single';
    return { id: field.id, name: field.name, type: kindOf(field.type), label };
  });
  return {
    name,
    byName: new Map(fields.map((field) => [field.name, field])),
    byId: new Map(fields.map((field) => [field.id, field])),
  };
}

function kindOf(type: string): Kind {
  if (type === 'string' || type === 'bool' || type === 'int64' || type === 'double') return { kind: type };
  const google = GOOGLE_TYPES.get(type);
  return google ? { kind: google } : { kind: 'message', message: type };
}
