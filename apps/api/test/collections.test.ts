import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import {
  deleteManyResponseSchema,
  deletionJobSchema,
  invalidateResponseSchema,
  listResponseSchema,
} from '@cache-system/contracts';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { type Client, entryPath } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { expectBadKey, expectError, expectExactly, expectViolation, expectWritten } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { type Service, startService } from './support/service.js';

const REDOS = path.join(__dirname, '../../../../shared/data/bad-input/redos');

let service: Service;
let client: Client;
let admin: Client;
const clients: Client[] = [];
beforeAll(async () => {
  service = await startService();
  client = service.client;
  admin = await adminClient(service);
});
afterAll(async () => {
  for (const each of [admin, ...clients]) each.close();
  await service.stop();
});

/** A client whose API key is its own, by default with a namespace that nobody else is in. */
async function stranger(fields: object): Promise<Client> {
  const { api_key: key } = await mintKey(admin, { tier: 'enterprise', ...fields });
  const made = client.with({ 'x-api-key': key });
  clients.push(made);
  return made;
}
let namespaces = 0;
const loner = (fields: object = {}) => stranger({ namespace: `alone-${namespaces++}`, ...fields });

const store = async (by: Client, key: string, options: object = {}) =>
  by.put(entryPath(key), { value: `of ${key}`, options });
const storeAll = async (by: Client, keys: readonly string[], options: object = {}) => {
  for (const key of keys) expectWritten(await store(by, key, options), 'created');
};
const statusOf = async (by: Client, key: string) => (await by.get(entryPath(key))).status;
const queryOf = (asked: Record<string, string>) => `?${new URLSearchParams(asked).toString()}`;

/** All pages of a listing. */
async function list(by: Client, asked: Record<string, string> = {}): Promise<string[]> {
  const names: string[] = [];
  let cursor: string | null = null;
  do {
    const answer = await by.get(`/v1/cache${queryOf({ ...asked, ...(cursor !== null && { cursor }) })}`);
    expect(answer.status).toBe(200);
    const page = expectExactly(listResponseSchema, answer.json);
    names.push(...page.keys.map(({ key }) => key));
    ({ cursor } = page);
  } while (cursor !== null);
  return names;
}

const deleteMany = async (by: Client, asked: Record<string, string>) => {
  const answer = await by.delete(`/v1/cache${queryOf(asked)}`);
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 200 });
  const { duration_ms: _, ...rest } = expectExactly(deleteManyResponseSchema, answer.json);
  return rest;
};
const invalidate = async (by: Client, body: object) => {
  const answer = await by.post('/v1/cache/invalidate', body);
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 200 });
  const { duration_ms: _, ...rest } = expectExactly(invalidateResponseSchema, answer.json);
  return rest;
};

describe('a tag', () => {
  test('takes its entries with it, and no others', async () => {
    const by = await loner();
    await storeAll(by, ['a', 'b'], { tags: ['product', 'shelf 1'] });
    await storeAll(by, ['c'], { tags: ['product2'] });
    await storeAll(by, ['d']);
    expect(await invalidate(by, { tags: ['product'] })).toEqual({ invalidated: { tags: 1 } });
    expect(await Promise.all(['a', 'b', 'c', 'd'].map((key) => statusOf(by, key)))).toEqual([404, 404, 200, 200]);
    expect(await invalidate(by, { tags: ['never used'] })).toEqual({ invalidated: { tags: 0 } });
  });

  test('that was invalidated can be used again, and what a write created says so', async () => {
    const by = await loner();
    await storeAll(by, ['a'], { tags: ['t'] });
    await invalidate(by, { tags: ['t'] });
    expectWritten(await store(by, 'a', { tags: ['t'] }), 'created');
    expect(await statusOf(by, 'a')).toBe(200);
    await invalidate(by, { tags: ['t'] });
    expect(await statusOf(by, 'a')).toBe(404);
  });

  test('that an update does not name is no longer one of the entry', async () => {
    const by = await loner();
    await storeAll(by, ['a'], { tags: ['old'] });
    expectWritten(await store(by, 'a', { tags: ['new'] }), 'updated');
    await invalidate(by, { tags: ['old'] });
    expect(await statusOf(by, 'a')).toBe(200);
    await invalidate(by, { tags: ['new'] });
    expect(await statusOf(by, 'a')).toBe(404);
  });

  test('stays on an entry that is patched, touched and counted up', async () => {
    const by = await loner();
    const at = entryPath('a');
    await by.put(at, { value: { n: 1 }, options: { tags: ['t'] } });
    expectWritten(await by.patch(at, { value: { m: 2 } }), 'updated');
    await by.post(entryPath('a', '/touch'), { ttl: 60 });
    await by.put(entryPath('n'), { value: 1, options: { tags: ['t'] } });
    await by.post(entryPath('n', '/increment'), { by: 2 });
    expect((await by.get(entryPath('n'))).json).toMatchObject({ value: 3 });
    await invalidate(by, { tags: ['t'] });
    expect([await statusOf(by, 'a'), await statusOf(by, 'n')]).toEqual([404, 404]);
  });

  test('counts what it deletes, and with dry_run deletes nothing', async () => {
    const by = await loner();
    await storeAll(by, ['a', 'b'], { tags: ['t'] });
    await storeAll(by, ['c']);
    const { sample, ...counted } = await deleteMany(by, { tag: 't', dry_run: 'true' });
    expect(counted).toEqual({ deleted: 2, tag: 't', dry_run: true });
    expect(sample?.slice().sort()).toEqual(['a', 'b']);
    expect(await invalidate(by, { tags: ['t'], dry_run: true })).toEqual({
      invalidated: { tags: 1 },
      dry_run: true,
      sample: expect.arrayContaining(['a', 'b']) as string[],
    });
    expect(await statusOf(by, 'a')).toBe(200);
    expect(await deleteMany(by, { tag: 't' })).toEqual({ deleted: 2, tag: 't' });
    expect((await list(by)).sort()).toEqual(['c']);
    expect(await deleteMany(by, { tag: 't' })).toEqual({ deleted: 0, tag: 't' });
  });

  test('is never survived by what was stored before it was invalidated, however many write', async () => {
    const by = await loner();
    for (let round = 0; round < 20; round++) {
      const writes = Array.from({ length: 10 }, async (_, index) => {
        const key = `${round}:${index}`;
        await store(by, key, { tags: ['busy'] });
        return { key, storedAt: performance.now() };
      });
      const invalidatedAt = await Promise.race(writes).then(async () => {
        const askedAt = performance.now();
        await invalidate(by, { tags: ['busy'] });
        return askedAt;
      });
      for (const { key, storedAt } of await Promise.all(writes)) {
        if (storedAt < invalidatedAt) expect({ key, status: await statusOf(by, key) }).toEqual({ key, status: 404 });
      }
    }
  });

  test('is one of up to 32, each with 1 to 256 characters of which none is a control character', async () => {
    const many = Array.from({ length: 33 }, (_, index) => `t${index}`);
    expectViolation(await store(client, 'many', { tags: many }), 'options.tags', /32/);
    expectViolation(await store(client, 'many', { tags: ['a\u0001'] }), 'options.tags.0', /control/);
    expectViolation(await store(client, 'many', { tags: [''] }), 'options.tags.0', /1/);
    const lone = String.raw`{"value":1,"options":{"tags":["\ud800"]}}`;
    expectViolation(await client.put(entryPath('many'), lone), 'options.tags.0', /well-formed/);
    expect(await statusOf(client, 'many')).toBe(404);
    expectWritten(
      await store(client, 'many', { tags: [...many.slice(2), '__proto__', '__proto__'].slice(-32) }),
      'created',
    );
    expect(await invalidate(client, { tags: ['__proto__'] })).toEqual({ invalidated: { tags: 1 } });
    expect(await statusOf(client, 'many')).toBe(404);
  });
});

describe('a pattern', () => {
  const KEYS = ['user:1', 'user:2', 'user:10', 'users', 'order:1', 'a*b', 'aXb', '[x]', 'ключ', '😀1'];
  let by: Client;
  beforeAll(async () => {
    by = await loner();
    await storeAll(by, KEYS);
  });

  test.each([
    ['user:*', ['user:1', 'user:2', 'user:10']],
    ['user:?', ['user:1', 'user:2']],
    ['user:[2-9]', ['user:2']],
    ['*:1', ['user:1', 'order:1']],
    [String.raw`a\*b`, ['a*b']],
    ['a*b', ['a*b', 'aXb']],
    [String.raw`\[x\]`, ['[x]']],
    ['?1', ['😀1']],
    ['кл*', ['ключ']],
    ['nothing*', []],
    ['*', KEYS],
  ])('%s means these', async (pattern, keys) => {
    expect((await list(by, { pattern })).sort()).toEqual([...keys].sort());
  });

  test('and a prefix and a tag all have to fit', async () => {
    await store(by, 'user:3', { tags: ['t'] });
    expect(await list(by, { pattern: '*:3', prefix: 'user:', tag: 't' })).toEqual(['user:3']);
    expect(await list(by, { pattern: '*:1', prefix: 'user:', tag: 't' })).toEqual([]);
    expect(await list(by, { pattern: 'order:*', prefix: 'user:' })).toEqual([]);
    await by.delete(entryPath('user:3'));
  });

  test.each([
    ['no end of a class', 'a[bc'],
    ['nothing after a backslash', 'a\\'],
    ['a class that goes backwards', '[z-a]'],
  ])('with %s is refused', async (_, pattern) => {
    expectViolation(await by.get(`/v1/cache${queryOf({ pattern })}`), 'pattern', /./);
    expectViolation(await by.delete(`/v1/cache${queryOf({ pattern })}`), 'pattern', /./);
    expectViolation(await by.post('/v1/cache/invalidate', { pattern }), 'pattern', /./);
    expect(await list(by, { prefix: 'user:' })).toHaveLength(3);
  });

  test('deletes, in each of the three ways, what it means', async () => {
    const own = await loner();
    const keys = ['s:1', 's:2', 's:3', 'keep'];
    await storeAll(own, keys);
    const dry = await own.delete(`/v1/cache/any${queryOf({ pattern: 's:*', dry_run: 'true' })}`);
    expect(dry).toMatchObject({
      status: 200,
      json: { deleted: 3, dry_run: true },
      headers: { 'x-deleted-count': '3' },
    });
    const answer = await own.delete(`/v1/cache/any${queryOf({ pattern: 's:*' })}`);
    expect(answer).toMatchObject({ status: 204, text: '', headers: { 'x-deleted-count': '3' } });
    expect(answer.headers['x-deletion-time']).toMatch(/^\d+ms$/);
    await storeAll(own, keys.slice(0, 3));
    expect(await deleteMany(own, { pattern: 's:[12]' })).toEqual({ deleted: 2, pattern: 's:[12]' });
    expect(await invalidate(own, { pattern: 's:*' })).toEqual({ invalidated: { pattern: 1 } });
    expect(await list(own)).toEqual(['keep']);
  });

  const hostile = (() => {
    try {
      return readdirSync(REDOS)
        .filter((file) => file.endsWith('.json'))
        .map((file) => (JSON.parse(readFileSync(path.join(REDOS, file), 'utf8')) as { pattern: string }).pattern);
    } catch {
      return [];
    }
  })();
  test('that would keep a regular expression busy for ever is answered like any other', async () => {
    await storeAll(by, ['a'.repeat(500), `${'a'.repeat(300)}!`]);
    const patterns = [...hostile, `${'a*'.repeat(200)}b`, `${'*a'.repeat(250)}!?`, `${'[a-z]*'.repeat(80)}!!`];
    for (const pattern of patterns) {
      const answer = await by.get(`/v1/cache${queryOf({ pattern })}`);
      expect({ pattern, ok: [200, 400].includes(answer.status) }).toEqual({ pattern, ok: true });
    }
    await deleteMany(by, { pattern: 'aa*' });
  });
});

describe('a listing', () => {
  test('tells of each entry what its metadata is', async () => {
    const by = await loner();
    const written = expectWritten(await store(by, 'a', { tags: ['t'], ttl: 60 }), 'created').metadata;
    const { json } = await by.get('/v1/cache');
    expect(json).toEqual({
      keys: [
        {
          key: 'a',
          created_at: written.created_at,
          updated_at: written.updated_at,
          expires_at: written.expires_at,
          version: written.version,
          size_bytes: written.size_bytes,
          tags: ['t'],
        },
      ],
      cursor: null,
    });
  });

  test('has each entry once, on pages of any size, while others come and go', async () => {
    const by = await loner();
    const keys = Array.from({ length: 250 }, (_, index) => `k:${index}`);
    await Promise.all(keys.map((key) => store(by, key)));
    for (const limit of ['7', '100', '1000']) {
      const busy = (async () => {
        for (let index = 0; index < 50; index++) {
          await store(by, `other:${index}`);
          await by.delete(entryPath(`other:${index}`));
        }
      })();
      const found = await list(by, { limit });
      await busy;
      expect(keys.filter((key) => !found.includes(key))).toEqual([]);
    }
    const found = await list(by, { limit: '7' });
    expect(new Set(found)).toEqual(new Set(keys));
  });

  test('has nothing of what has expired or was invalidated', async () => {
    const by = await loner();
    await store(by, 'brief', { ttl: 1 });
    await store(by, 'tagged', { tags: ['t'] });
    await store(by, 'stays');
    await invalidate(by, { tags: ['t'] });
    expect(await list(by)).not.toContain('tagged');
    await eventually('the entry has expired', async () => (await statusOf(by, 'brief')) === 404);
    expect(await list(by)).toEqual(['stays']);
  });

  test.each(['x', 'WzEsMl0', Buffer.from('[9,null,0]').toString('base64url'), ''])(
    'refuses the cursor "%s"',
    async (cursor) => {
      expectViolation(await client.get(`/v1/cache${queryOf({ cursor })}`), 'cursor', /page/);
    },
  );

  test('refuses a cursor that no layer has given, and goes on serving others', async () => {
    const cursorOf = (...parts: unknown[]) => Buffer.from(JSON.stringify(parts)).toString('base64url');
    for (const after of ['abc', '-1', '1e3', `default:${'x'.repeat(5000)}`, 'other:x']) {
      for (let round = 0; round < 10; round++) {
        expectViolation(await client.get(`/v1/cache${queryOf({ cursor: cursorOf(0, after) })}`), 'cursor', /page/);
      }
      expectError(await client.get(`/v1/cache/jobs/${'9'.repeat(9000)}`), 404, 'RESOURCE_NOT_FOUND');
    }
    expect((await store(client, 'served')).status).toBeLessThan(300);
    expectBadKey(await client.get(`/v1/cache${queryOf({ cursor: cursorOf(0, null, 'a\u0000') })}`), /control/);
  });

  test('goes on where others delete what it has given', async () => {
    const by = await loner();
    await Promise.all(Array.from({ length: 200 }, (_, index) => store(by, `gone:${index}`)));
    const seen = new Set<string>();
    let cursor: string | null = null;
    do {
      const answer = await by.get(`/v1/cache${queryOf({ limit: '7', ...(cursor !== null && { cursor }) })}`);
      const page = expectExactly(listResponseSchema, answer.json);
      expect(page.keys.length).toBeLessThanOrEqual(7);
      for (const { key } of page.keys) seen.add(key);
      await Promise.all(page.keys.map(({ key }) => by.delete(entryPath(key))));
      ({ cursor } = page);
    } while (cursor !== null);
    expect(seen.size).toBe(200);
  });

  test.each(['0', '1001', 'x', '-1'])('refuses a limit of %s', async (limit) => {
    expectViolation(await client.get(`/v1/cache${queryOf({ limit })}`), 'limit', /1/);
  });
});

describe('an invalidation', () => {
  test('does all that it is asked at once, and counts each', async () => {
    const by = await loner();
    await storeAll(by, ['k1', 'p:1', 'p:2', 'x:1']);
    await storeAll(by, ['t1'], { tags: ['t'] });
    const wanted = { keys: ['k1', 'missing'], tags: ['t', 'unused'], pattern: '*:1', prefix: 'p:' };
    expect((await invalidate(by, { ...wanted, dry_run: true })).invalidated).toEqual({
      keys: 1,
      tags: 1,
      pattern: 2,
      prefix: 2,
    });
    expect(await list(by)).toHaveLength(5);
    expect(await invalidate(by, wanted)).toEqual({ invalidated: { keys: 1, tags: 1, pattern: 2, prefix: 1 } });
    expect(await list(by)).toEqual([]);
  });

  test.each([
    ['nothing', {}],
    ['no keys', { keys: [] }],
    ['a member that nobody knows', { keys: ['a'], all: true }],
    ['a key that none can be', { keys: ['a\u0000'] }],
  ])('of %s is refused, and nothing is invalidated', async (_, body) => {
    await store(client, 'a');
    expect((await client.post('/v1/cache/invalidate', body)).status).toBe(400);
    expect(await statusOf(client, 'a')).toBe(200);
  });

  test.each(['dry_run=true', 'cascade=false&pattern=a*'])('of one key with %s is refused', async (asked) => {
    await store(client, 'a');
    expect((await client.delete(`${entryPath('a')}?${asked}`)).status).toBe(400);
    expect(await statusOf(client, 'a')).toBe(200);
  });

  test.each(['', '?pattern=a*&tag=t', '?dry_run=true'])('of many by DELETE /v1/cache%s is refused', async (asked) => {
    expect((await client.delete(`/v1/cache${asked}`)).status).toBe(400);
  });
});

describe('a deletion that takes long', () => {
  test('goes on by itself, says how far it is and when it is done', async () => {
    const by = await loner();
    const entries = Array.from({ length: 1000 }, (_, index) => ({ key: `many:${index}`, value: index }));
    const rounds = 10;
    for (let round = 0; round < rounds; round++) {
      const answer = await by.post('/v1/cache/bulk/set', {
        entries: entries.map(({ key, value }) => ({ key: `${round}:${key}`, value })),
      });
      expect(answer.json).toMatchObject({ summary: { total_keys: 1000, created: 1000, errors: 0 } });
    }
    const answer = await by.delete(`/v1/cache${queryOf({ pattern: '*:many:*' })}`, {
      headers: { prefer: 'respond-async' },
    });
    expect(answer.status).toBe(202);
    const { job } = expectExactly(deleteManyResponseSchema, answer.json);
    expect(job).toMatchObject({ status: 'running', pattern: '*:many:*', ended_at: null });
    const other = await loner();
    expectError(await other.get(`/v1/cache/jobs/${job!.id}`), 404, 'RESOURCE_NOT_FOUND');
    // Others are served meanwhile.
    expect(await statusOf(by, 'no such key')).toBe(404);
    await eventually(
      'the job is done',
      async () => expectExactly(deletionJobSchema, (await by.get(`/v1/cache/jobs/${job!.id}`)).json).status === 'done',
      60_000,
    );
    const { json } = await by.get(`/v1/cache/jobs/${job!.id}`);
    expect(json).toMatchObject({ deleted: rounds * 1000 });
    expect(await list(by)).toEqual([]);
  });
});

describe('namespaces and prefixes', () => {
  test('of different namespaces nothing is listed, counted or deleted', async () => {
    const [one, other] = [await loner(), await loner()];
    for (const each of [one, other]) await storeAll(each, ['a', 'b:1'], { tags: ['t'] });
    await deleteMany(one, { tag: 't' });
    expect(await list(one)).toEqual([]);
    expect((await list(other)).sort()).toEqual(['a', 'b:1']);
    expect(await invalidate(one, { keys: ['a'], tags: ['t'], pattern: '*', prefix: 'b' })).toEqual({
      invalidated: { keys: 0, tags: 1, pattern: 0, prefix: 0 },
    });
    expect((await list(other)).sort()).toEqual(['a', 'b:1']);
  });

  test('a key that is limited to prefixes does all of this within them', async () => {
    const all = await loner();
    const some = await stranger({ namespace: `alone-${namespaces - 1}`, key_prefixes: ['mine:', 'ours:'] });
    const reset = () => Promise.all(['mine:1', 'ours:1', 'theirs:1'].map((key) => store(all, key, { tags: ['t'] })));
    await reset();
    expect((await list(some)).sort()).toEqual(['mine:1', 'ours:1']);
    expect(await list(some, { pattern: '*e*' })).toEqual(['mine:1']);
    expect(await list(some, { prefix: 'theirs:' })).toEqual([]);
    expect(await list(some, { tag: 't', prefix: 'm' })).toEqual(['mine:1']);
    for (const asked of [{ tag: 't' }, { pattern: '*' }] as Record<string, string>[]) {
      expect(await deleteMany(some, asked)).toMatchObject({ deleted: 2 });
      expect(await list(all)).toEqual(['theirs:1']);
      await reset();
    }
    expect(await invalidate(some, { tags: ['t'], prefix: 't' })).toEqual({ invalidated: { tags: 1, prefix: 0 } });
    expect(await list(all)).toEqual(['theirs:1']);
    expectError(
      await some.post('/v1/cache/invalidate', { keys: ['mine:1', 'theirs:1'] }),
      403,
      'INSUFFICIENT_PERMISSIONS',
    );
    expect(await list(all)).toEqual(['theirs:1']);
  });

  test('tags and jobs are no entries: nobody lists them, and no key can name them', async () => {
    const by = await loner();
    await storeAll(by, ['a'], { tags: ['t'] });
    expect(await list(by)).toEqual(['a']);
    expect((await deleteMany(by, { pattern: '*' })).deleted).toBe(1);
    expectError(await by.get(entryPath('\u0001t')), 400, 'INVALID_KEY_FORMAT');
  });

  test('who may only read does not delete', async () => {
    const reader = await loner({ permissions: ['cache:read'] });
    for (const refused of [
      await reader.delete('/v1/cache?pattern=*'),
      await reader.post('/v1/cache/invalidate', { keys: ['a'] }),
      await reader.post('/v1/cache/bulk/delete', { keys: ['a'] }),
      await reader.post('/v1/cache/bulk/set', { entries: [{ key: 'a', value: 1 }] }),
    ])
      expectError(refused, 403, 'INSUFFICIENT_PERMISSIONS');
  });
});
