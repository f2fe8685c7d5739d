import { request as httpRequest } from 'node:http';
import { type AuditRecord } from '@cache-system/contracts';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { auditedChange, keyOf, readAudit, readWholeAudit } from './support/audit.js';
import type { Client } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { expectError, expectViolation } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { type Service, startService } from './support/service.js';

let service: Service;
let admin: Client;
beforeAll(async () => {
  service = await startService();
  admin = await adminClient(service);
});
afterAll(async () => {
  admin.close();
  await service.stop();
});

const keysOf = (entries: readonly AuditRecord[]) => entries.map(keyOf).filter((key) => key !== undefined);
const numbered = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name}-${i}`);

async function keyWith(fields: object): Promise<{ id: string; client: Client }> {
  const made = await mintKey(admin, { permissions: ['admin:*'], tier: 'enterprise', ...fields });
  return { id: made.key_id, client: service.client.with({ 'x-api-key': made.api_key }) };
}

describe('an entry', () => {
  test('tells who did what, when, from where, to what, and how it was sealed', async () => {
    const since = Date.now();
    await auditedChange(admin, 'told');
    const { entries, head } = await readAudit(admin, { action: 'write_behind.discard', limit: '1' });
    const [entry] = entries;
    expect(entry).toMatchObject({
      outcome: 'done',
      actor: { type: 'user', name: service.api.adminEmail, address: '127.0.0.1' },
      after: { records: [{ namespace: 'default', key: 'told' }] },
    });
    expect(entry!.actor.id).toMatch(/^usr_/);
    expect(entry!.actor.request_id).toMatch(/^req_/);
    expect(Date.parse(entry!.at)).toBeGreaterThanOrEqual(since);
    expect(entry!.hash).toMatch(/^[0-9a-f]{64}$/);
    expect(head.seq).toBeGreaterThanOrEqual(entry!.seq);
  });

  test('is there for each of many changes at the same time, without a gap', async () => {
    const { head: before } = await readAudit(admin);
    const keys = numbered('parallel', 50);
    await Promise.all(keys.map((key) => auditedChange(admin, key)));
    const entries = (await readWholeAudit(admin)).filter(({ seq }) => seq > before.seq);
    expect(keysOf(entries).sort()).toEqual(keys.sort());
    expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, i) => before.seq + entries.length - i));
    expect(new Set(entries.map(({ hash }) => hash)).size).toBe(entries.length);
  });

  test('is made of a request that was refused, once for as often as it comes', async () => {
    const { id, client } = await keyWith({ permissions: ['cache:read'] });
    for (let i = 0; i < 20; i++) {
      expectError(await client.get('/v1/auth/api-keys?api_key=canary-in-query'), 403, 'INSUFFICIENT_PERMISSIONS');
    }
    await eventually(
      'the refusal is in the log',
      async () => (await readAudit(admin, { actor: id })).entries.length > 0,
    );
    const { entries } = await readAudit(admin, { actor: id });
    expect(entries).toHaveLength(1);
    expect(entries[0]).toMatchObject({
      action: 'access.refuse',
      outcome: 'refused',
      actor: { type: 'api_key', id },
      target: { type: 'route', id: 'GET /v1/auth/api-keys' },
      after: { required: 'admin:read', held: ['cache:read'] },
    });
    client.close();
  });

  test('is made of a request that was refused however its path is written', async () => {
    const { id, client } = await keyWith({ permissions: ['cache:read'] });
    expectError(await client.get('/v1/%61dmin/users'), 403, 'INSUFFICIENT_PERMISSIONS');
    await eventually('the refusal is in the log', async () => {
      const { entries } = await readAudit(admin, { actor: id });
      return entries.some(({ target }) => target?.id === 'GET /v1/%61dmin/users');
    });
    client.close();
  });

  test('is made of the first administrator', async () => {
    const [entry] = await readWholeAudit(admin, { action: 'user.create', actor: 'bootstrap' });
    expect(entry).toMatchObject({ actor: { type: 'system' }, after: { email: service.api.adminEmail, role: 'admin' } });
    expect(JSON.stringify(entry)).not.toContain('argon2');
  });

  test('is made of a wish to hand on more than somebody has', async () => {
    const { id, client } = await keyWith({ permissions: ['admin:write'] });
    const wish = { name: 'more', permissions: ['*'] };
    expectError(await client.post('/v1/auth/api-keys', wish), 403, 'INSUFFICIENT_PERMISSIONS');
    await eventually('the refusal is in the log', async () => {
      const { entries } = await readAudit(admin, { actor: id, outcome: 'refused' });
      return entries.some(({ after }) => JSON.stringify(after) === '{"cannot_grant":["*"]}');
    });
    client.close();
  });

  test('holds no secret', async () => {
    const secrets = ['canary-password-1', service.api.adminPassword, service.api.apiKey];
    const anyone = service.client.with({});
    await anyone.post('/v1/auth/login', { email: service.api.adminEmail, password: secrets[0] });
    const { client } = await keyWith({ permissions: ['cache:read'] });
    secrets.push(client.headers['x-api-key']!, String(admin.headers['authorization']).slice(7));
    await client.get(`/v1/admin/nodes?api_key=${service.api.apiKey}`);
    await anyone.get(`/v1/admin/nodes?api_key=${client.headers['x-api-key']!}`);
    await eventually('the refusal is in the log', async () => {
      const { entries } = await readAudit(admin, { action: 'access.refuse' });
      return entries.some(({ target }) => target?.id === 'GET /v1/admin/nodes');
    });
    const { text } = await admin.get('/v1/admin/audit/export');
    expect(text).not.toBe('');
    for (const secret of secrets) expect(text).not.toContain(secret);
    client.close();
  });
});

describe('the log', () => {
  test('is found by each of its filters', async () => {
    const { id, client } = await keyWith({ name: 'somebody in particular' });
    await auditedChange(client, 'filtered');
    const only = async (query: Record<string, string>) => keysOf(await readWholeAudit(admin, query));
    const [entry] = (await readAudit(admin, { actor: id })).entries;
    const later = new Date(Date.parse(entry!.at) + 1).toISOString();
    expect(await only({ actor: id })).toEqual(['filtered']);
    expect(await only({ actor: 'somebody in particular' })).toEqual(['filtered']);
    expect(await only({ actor: id, action: 'write_behind.discard' })).toEqual(['filtered']);
    expect(await only({ actor: id, action: 'write_behind.*' })).toEqual(['filtered']);
    expect(await only({ actor: id, action: 'write_behind.replay' })).toEqual([]);
    expect(await only({ actor: id, action: 'writexbehind.*' })).toEqual([]);
    expect(await only({ actor: id, outcome: 'done', address: '127.0.0.1' })).toEqual(['filtered']);
    expect(await only({ actor: id, outcome: 'refused' })).toEqual([]);
    expect(await only({ actor: id, address: '192.0.2.1' })).toEqual([]);
    expect(await only({ actor: id, target: 'nothing' })).toEqual([]);
    expect(await only({ actor: id, from: entry!.at, to: later })).toEqual(['filtered']);
    expect(await only({ actor: id, from: later })).toEqual([]);
    expect(await only({ actor: id, to: entry!.at })).toEqual([]);
    expect(await only({ actor: `' OR '1'='1` })).toEqual([]);
    client.close();
  });

  test.each([
    ['action', 'api_key', /noun and a verb/],
    ['action', '%.%', /noun and a verb/],
    ['outcome', 'perhaps', /./],
    ['from', 'yesterday', /./],
    ['cursor', '-1', /not one that a page came with/],
    ['limit', '501', /./],
  ])('is not searched by %s=%s', async (name, value, reason) => {
    expectViolation(await admin.get(`/v1/admin/audit?${name}=${encodeURIComponent(value)}`), name, reason);
  });

  test.each(['', '/export'])('is not asked for a time that ends before it begins (/v1/admin/audit%s)', async (part) => {
    const query = '?from=2026-01-02T00:00:00Z&to=2026-01-01T22:59:59-01:00';
    expectViolation(await admin.get(`/v1/admin/audit${part}${query}`), 'to', /not be before `from`/);
  });

  test('comes page by page, newest first, each entry once although more are added meanwhile', async () => {
    const keys = numbered('page', 25);
    for (const key of keys) await auditedChange(admin, key);
    const action = 'write_behind.discard';
    let { entries, cursor } = await readAudit(admin, { action, limit: '5' });
    const seen = [...entries];
    for (let i = 0; i < 4; i++) {
      await auditedChange(admin, `added-${i}`);
      ({ entries, cursor } = await readAudit(admin, { action, limit: '5', cursor: cursor! }));
      expect(entries).toHaveLength(5);
      seen.push(...entries);
    }
    expect(keysOf(seen)).toEqual(keys.reverse());
  });

  test('is exported line by line, oldest first, as far as the filters go', async () => {
    const keys = numbered('exported', 30);
    const { id, client } = await keyWith({});
    await Promise.all(keys.map((key) => auditedChange(client, key)));
    const { headers, text } = await admin.get(`/v1/admin/audit/export?actor=${id}`);
    expect(headers['content-type']).toBe('application/x-ndjson');
    expect(headers['content-disposition']).toBe('attachment; filename="audit.ndjson"');
    expect(text.endsWith('\n')).toBe(true);
    const exported = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as AuditRecord);
    expect(exported).toEqual((await readWholeAudit(admin, { actor: id })).reverse());
    expect(keysOf(exported).sort()).toEqual(keys.sort());
    expect((await admin.get('/v1/admin/audit/export?actor=nobody')).text).toBe('');
    client.close();
  });

  test('tells of each export, which are recorded before they begin and are never counted together', async () => {
    const { seq } = (await readAudit(admin)).head;
    for (let i = 0; i < 3; i++) expect((await admin.get('/v1/admin/audit/export')).text).toContain('"audit.export"');
    const { entries } = await readAudit(admin, { action: 'audit.export' });
    expect(entries.filter((entry) => entry.seq > seq)).toHaveLength(3);
    const head = await admin.send('HEAD', '/v1/admin/audit/export');
    expect([head.status, head.headers['content-type'], head.text]).toEqual([200, 'application/x-ndjson', '']);
  });

  test('is open for changes while somebody who exports it does not read', async () => {
    const stalled = httpRequest(`${service.api.url}/v1/admin/audit/export`, { headers: { ...admin.headers } });
    stalled.on('error', () => undefined);
    stalled.end();
    await new Promise((resolve) => stalled.once('response', resolve));
    await auditedChange(admin, 'beside an export');
    expect(keysOf((await readAudit(admin)).entries)).toContain('beside an export');
    stalled.destroy();
  });
});

describe('of what others did', () => {
  test('an API key sees what keys of its namespace did, and nothing else', async () => {
    const [inA, alsoInA, inB] = await Promise.all([
      keyWith({ namespace: 'audit-a' }),
      keyWith({ namespace: 'audit-a' }),
      keyWith({ namespace: 'audit-b' }),
    ]);
    await auditedChange(inA.client, 'by a', 'audit-a');
    await auditedChange(inB.client, 'by b', 'audit-b');
    await auditedChange(admin, 'by the admin', 'audit-a');
    for (const { client } of [inA, alsoInA]) {
      expect(keysOf(await readWholeAudit(client))).toEqual(['by a']);
      expect(keysOf(await readWholeAudit(client, { actor: inB.id }))).toEqual([]);
      const { text } = await client.get('/v1/admin/audit/export');
      expect(text).toContain('by a');
      expect(text).not.toMatch(/by b|by the admin|@/);
    }
    [inA, alsoInA, inB].forEach(({ client }) => client.close());
  });

  test('one that is limited to prefixes sees what it did itself', async () => {
    const [limited, other] = await Promise.all([
      keyWith({ namespace: 'audit-c', key_prefixes: ['own:'] }),
      keyWith({ namespace: 'audit-c' }),
    ]);
    await auditedChange(limited.client, 'own:1', 'audit-c');
    await auditedChange(other.client, 'foreign:1', 'audit-c');
    expect(keysOf(await readWholeAudit(limited.client))).toEqual(['own:1']);
    expect(keysOf(await readWholeAudit(other.client))).toEqual(['foreign:1', 'own:1']);
    [limited, other].forEach(({ client }) => client.close());
  });
});
