import { readFileSync } from 'node:fs';
import path from 'node:path';
import { serialize } from 'bson';
import { Packr } from 'msgpackr';
import { type Client, entryPath, valueText } from './support/client.js';
import { expectWritten } from './support/expectations.js';
import { type Operation, pathToNothing, readOperations } from './support/openapi.js';
import { type Service, startService } from './support/service.js';
import { remember } from './support/unharmed.js';

const DOCUMENT = JSON.parse(readFileSync(path.join(__dirname, '../openapi.json'), 'utf8')) as {
  components: { schemas: Record<string, Schema> };
};
interface Schema {
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: unknown;
  readonly allOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema;
  readonly example?: unknown;
  readonly type?: string;
}

/** What somebody would like to decide who may not. */
const WISHES = {
  role: 'admin',
  tier: 'enterprise',
  permissions: ['*'],
  key_hash: 'aaaa',
  password_hash: 'aaaa',
  created_at: '2000-01-01T00:00:00.000Z',
  created_by: 'usr_admin',
  id: 'usr_admin',
  key_id: 'key_1',
  user_id: 'usr_admin',
  revoked_at: null,
  version: '1',
  ownerId: 'usr_admin',
  is_admin: true,
};

let service: Service;
let client: Client;
let note: Awaited<ReturnType<typeof remember>>;
let operations: Operation[];
beforeAll(async () => {
  service = await startService();
  client = service.client;
  note = await remember(service);
  operations = (await readOperations(client)).filter(({ requestBody }) => requestBody?.content['application/json']);
});
afterAll(async () => {
  try {
    await note.expectUnharmed();
  } finally {
    await service.stop();
  }
});

function resolve(schema: Schema): Schema {
  return schema.$ref === undefined ? schema : DOCUMENT.components.schemas[schema.$ref.split('/').at(-1)!]!;
}

/** An example of a body, from the operation or from the fields of its schema. */
function exampleOf(schema: Schema): unknown {
  const { properties = {}, items, example, type, allOf = [] } = resolve(schema);
  if (example !== undefined) return example;
  if (items) return [exampleOf(items)];
  const parts = allOf.map((part) => Object.entries(resolve(part).properties ?? {}));
  const fields = Object.fromEntries([...Object.entries(properties), ...parts.flat()]);
  if (type !== 'object' && Object.keys(fields).length === 0) return undefined;
  const entries = Object.entries(fields).map(([name, field]) => [name, exampleOf(field)]);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as unknown;
}

describe('mass assignment', () => {
  test('no body takes a member that its schema does not have: each is named, and nothing is done', async () => {
    expect(operations.length).toBeGreaterThan(10);
    const open: string[] = [];
    for (const operation of operations) {
      const { schema, examples = {} } = operation.requestBody!.content['application/json']!;
      const { properties = {}, additionalProperties } = resolve(schema as Schema);
      if (additionalProperties !== false) {
        open.push(`${operation.method} ${operation.path}`);
        continue;
      }
      const [given] = Object.values(examples) as { value?: object }[];
      const example = (given?.value ?? exampleOf(schema as Schema)) as object;
      const wishes = Object.entries(WISHES).filter(([name]) => !Object.hasOwn(properties, name));
      const body = { ...example, ...Object.fromEntries(wishes) };
      const answer = await client.send(operation.method, pathToNothing(operation), { body });
      const about = `${operation.method} ${operation.path}`;
      expect({ about, status: answer.status }).toEqual({ about, status: 400 });
      for (const [name] of wishes) expect({ about, named: answer.text.includes(name) }).toEqual({ about, named: true });
    }
    // One of two shapes, each of which is strict: see below.
    expect(open).toEqual(['POST /v1/admin/write-behind/replay']);
  });

  test('nor within the objects of a body', async () => {
    const wish = { role: 'admin', tier: 'enterprise', created_at: '2000-01-01T00:00:00.000Z' };
    const bodies: [method: string, at: string, body: object][] = [
      ['PUT', entryPath('k'), { value: 1, options: wish }],
      ['PATCH', entryPath('k'), { value: {}, options: wish }],
      ['POST', '/v1/cache/bulk/set', { entries: [{ key: 'k', value: 1, ...wish }] }],
      ['POST', '/v1/cache/bulk/set', { entries: [{ key: 'k', value: 1, options: wish }] }],
      ['POST', '/v1/admin/write-behind/replay', { all: true, ...wish }],
      ['POST', '/v1/auth/api-keys', { name: 'n', permissions: ['cache:read'], rate_limit: wish }],
    ];
    for (const [method, at, body] of bodies) {
      const answer = await client.send(method, at, { body });
      expect({ at, status: answer.status }).toEqual({ at, status: 400 });
      expect(answer.text).toContain('role');
    }
    expect((await client.get(entryPath('k'))).status).toBe(404);
  });

  test('a key is made by who makes it, now, whatever the body says beside that', async () => {
    const names = ['a', 'a', 'b'];
    const text = `{"name":"${names.join('","name":"')}","permissions":["cache:read"]}`;
    const made = await client.post('/v1/auth/api-keys', text);
    const { created_at: createdAt, created_by: createdBy } = made.json as Record<string, string>;
    expect(made.status).toBe(201);
    expect(Math.abs(Date.parse(createdAt!) - Date.now())).toBeLessThan(60_000);
    expect(createdBy).not.toBe('usr_admin');
  });
});

describe('names that reach a prototype', () => {
  /** What would change every write after it. */
  const EVIL = '{"ttl":1,"options":{"ttl":1,"tags":["evil"]},"role":"admin","permissions":["*"],"polluted":true}';

  afterEach(async () => {
    const { metadata } = expectWritten(await client.put(entryPath('clean'), { value: {} }), 'created');
    expect(Date.parse(metadata.expires_at ?? '') - Date.parse(metadata.created_at)).toBe(3_600_000);
    expect((await client.get(entryPath('clean'))).text).toBe('{"key":"clean","value":{}}');
    await client.delete(entryPath('clean'));
  });

  test.each(['deep', 'shallow', 'replace'])('are plain names to a %s merge', async (strategy) => {
    const at = entryPath(`merged ${strategy}`);
    await client.put(at, '{"value":{"__proto__":{"a":1},"constructor":{"prototype":{"b":1}}}}');
    const patch = `{"__proto__":${EVIL},"constructor":{"prototype":${EVIL}},"a":{"__proto__":${EVIL}}}`;
    const answer = await client.patch(at, `{"value":${patch},"merge_strategy":"${strategy}"}`);
    expect(answer.status).toBe(200);
    const text = valueText(await client.get(at), `merged ${strategy}`);
    expect(text.match(/"__proto__":/g)).toHaveLength(2);
    expect(text).toContain('"polluted":true');
  });

  test('are plain names to a merge patch', async () => {
    const at = entryPath('merge-patched');
    await client.put(at, '{"value":{}}');
    const headers = { 'content-type': 'application/merge-patch+json' };
    const patch = `{"__proto__":${EVIL},"constructor":{"prototype":${EVIL}}}`;
    expect((await client.patch(at, patch, { headers })).status).toBe(200);
    expect(valueText(await client.get(at), 'merge-patched')).toBe(patch);
  });

  test.each([
    '/__proto__/polluted',
    '/constructor/prototype/polluted',
    '/a/__proto__/polluted',
    '/a/constructor/prototype/polluted',
    '/__proto__/__proto__/polluted',
  ])('are no way out of the value for a JSON patch: %s', async (pointer) => {
    const at = entryPath('json-patched');
    await client.put(at, '{"value":{"a":{}}}');
    const headers = { 'content-type': 'application/json-patch+json' };
    for (const op of ['add', 'replace', 'test']) {
      const patch = JSON.stringify([{ op, path: pointer, value: true }]);
      expect((await client.patch(at, patch, { headers })).status).toBe(422);
    }
    for (const from of ['/__proto__', '/constructor', '/a/toString']) {
      const patch = JSON.stringify([{ op: 'copy', from, path: '/b' }]);
      expect((await client.patch(at, patch, { headers })).status).toBe(422);
    }
    expect(valueText(await client.get(at), 'json-patched')).toBe('{"a":{}}');
  });

  test('are refused as fields of a body, at whatever depth, in every format', async () => {
    const packed = new Packr({ useRecords: false, variableMapSize: true });
    const evil = JSON.parse(EVIL) as object;
    const asOwn = (name: string) => Object.defineProperty({ value: 1 }, name, { value: evil, enumerable: true });
    for (const name of ['__proto__', 'constructor', 'prototype']) {
      const bodies: [type: string, body: Buffer][] = [
        ['application/json', Buffer.from(`{"value":1,"${name}":${EVIL}}`)],
        ['application/json', Buffer.from(`{"value":1,"options":{"${name}":${EVIL}}}`)],
        ['application/json', Buffer.from(`{"value":1,"\\u005f${name.slice(1)}":${EVIL}}`)],
        ['application/msgpack', Buffer.from(packed.pack(new Map(Object.entries({ ...asOwn('x'), value: 1 }))))],
        ['application/bson', Buffer.from(serialize(asOwn(name)))],
      ];
      // A map whose name is spelled by hand: packers know this trick and leave it out.
      const spelled = Buffer.concat([
        Buffer.from([0x82, 0xa5]),
        Buffer.from('value'),
        Buffer.from([1, 0xa0 + name.length]),
        Buffer.from(name),
        Buffer.from(packed.pack(evil)),
      ]);
      bodies.push(['application/msgpack', spelled]);
      for (const [type, body] of bodies) {
        const answer = await client.put(entryPath('refused'), body, { headers: { 'content-type': type } });
        expect({ name, type, status: answer.status }).toEqual({ name, type, status: 400 });
      }
      const key = await client.post('/v1/auth/api-keys', `{"name":"n","permissions":["cache:read"],"${name}":${EVIL}}`);
      expect(key.status).toBe(400);
      const login = `{"email":"a@b.co","password":"x","${name}":${EVIL}}`;
      expect((await client.with({}).post('/v1/auth/login', login)).status).toBe(400);
    }
    expect((await client.get(entryPath('refused'))).status).toBe(404);
  });

  test('are plain names within a value of MessagePack and BSON', async () => {
    const inner = Buffer.concat([
      Buffer.from([0x81, 0xa9]),
      Buffer.from('__proto__'),
      Buffer.from([0x81, 0xa1, 0x61, 1]),
    ]);
    const body = Buffer.concat([Buffer.from([0x81, 0xa5]), Buffer.from('value'), inner]);
    const at = entryPath('packed');
    expect((await client.put(at, body, { headers: { 'content-type': 'application/msgpack' } })).status).toBe(201);
    expect(valueText(await client.get(at), 'packed')).toBe('{"__proto__":{"a":1}}');
    const value = Object.defineProperty({}, '__proto__', { value: { a: 1 }, enumerable: true });
    const document = Buffer.from(serialize({ value }));
    expect((await client.put(at, document, { headers: { 'content-type': 'application/bson' } })).status).toBe(200);
    expect(valueText(await client.get(at), 'packed')).toBe('{"__proto__":{"a":1}}');
  });

  test.each([
    '__proto__[ttl]=1',
    '__proto__.ttl=1',
    '__proto__=1',
    'constructor[prototype][ttl]=1',
    'constructor=1',
    'options[__proto__][ttl]=1',
    '%5f_proto__[ttl]=1',
  ])('are unknown parameters: %s', async (query) => {
    expect((await client.put(`${entryPath('q')}?${query}`, { value: 1 })).status).toBe(400);
    expect((await client.get(`/v1/cache?${query}`)).status).toBe(400);
  });
});
