import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { createClient } from 'redis';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { createTemporaryFolder } from '../../../tools/harness/tied-process.mjs';
import { Client, entryPath, valueText } from './support/client.js';
import { expectError, expectViolation, expectWritten } from './support/expectations.js';
import { type Service, startService, STORES } from './support/service.js';

const KEY_A = `a:${Buffer.alloc(32, 1).toString('base64')}`;
const KEY_B = `b:${Buffer.alloc(32, 2).toString('base64')}`;
const COMPRESSIBLE = { text: 'the same again, '.repeat(1000) };

let folder: ReturnType<typeof createTemporaryFolder>;
let service: Service;
let client: Client;
beforeAll(async () => {
  folder = createTemporaryFolder('storage');
  service = await startService({
    DATA_DIR: folder.path,
    LOG_LEVEL: 'trace',
    ENCRYPTION_KEYS: KEY_A,
    CACHE__ENCRYPTION__PREFIXES: '["secret:"]',
  });
  client = service.client;
});
const ends: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  await Promise.all(ends.map((end) => end()));
  await service.stop();
  folder.remove();
});

const put = async (key: string, value: unknown, options: object = {}, status: 'created' | 'updated' = 'created') =>
  expectWritten(await client.put(entryPath(key), { value, options }), status).metadata;
const dropFromL1 = (key: string) => client.delete(`${entryPath(key)}?cascade=false`);
const valueOf = async (key: string) => ((await client.get(entryPath(key))).json as { value: unknown }).value;

/** All that the shared layer and the disk have, as one text. */
async function everythingStored(): Promise<string> {
  const texts = readdirSync(folder.path, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile() && file.name !== 'secrets.json')
    .map((file) => readFileSync(path.join(file.parentPath, file.name), 'latin1'));
  for (const url of redisUrls()) {
    const redis = createClient({ url });
    await redis.connect();
    for await (const keys of redis.scanIterator()) {
      for (const key of keys) texts.push(key, Buffer.from(await redis.dump(key)).toString('latin1'));
    }
    redis.destroy();
  }
  return texts.join('\n');
}

/** Each server that has a part of it. */
function redisUrls(): string[] {
  const { REDIS_URL: redis, REDIS_CLUSTER_NODES: cluster } = service.stores;
  return [...(redis ? [redis] : []), ...(cluster?.split(',').map((address) => `redis://${address}`) ?? [])];
}

describe('compression', () => {
  test.each(['lz4', 'zstd', 'gzip'])(
    'with %s makes the entry smaller, says by how much, and changes nothing else',
    async (algorithm) => {
      const { compression_ratio: ratio, size_bytes: size } = await put(algorithm, COMPRESSIBLE, {
        compress: algorithm,
      });
      expect(size).toBe(JSON.stringify(COMPRESSIBLE).length);
      expect(ratio).toBeGreaterThan(0);
      expect(ratio).toBeLessThan(0.1);
      await dropFromL1(algorithm);
      expect(await valueOf(algorithm)).toEqual(COMPRESSIBLE);
      const listed = (await client.get(`/v1/cache?prefix=${algorithm}`)).json;
      expect(listed).toMatchObject({ keys: [{ size_bytes: size }] });
    },
  );

  test('happens by itself above the configured size, and not where it was declined', async () => {
    expect((await put('large', COMPRESSIBLE)).compression_ratio).toBeLessThan(0.1);
    expect((await put('declined', COMPRESSIBLE, { compress: false })).compression_ratio).toBe(1);
    expect((await put('small', 'aaaaaaaaaa'.repeat(20))).compression_ratio).toBe(1);
    expect((await put('asked', 'aaaaaaaaaa'.repeat(20), { compress: true })).compression_ratio).toBeLessThan(1);
  });

  test('is not kept where it does not pay', async () => {
    const random = Array.from({ length: 3000 }, () => String.fromCharCode(33 + Math.random() * 90)).join('');
    expect((await put('random', random, { compress: 'lz4' })).compression_ratio).toBe(1);
    await dropFromL1('random');
    expect(await valueOf('random')).toBe(random);
  });

  test('stays on an entry that is patched', async () => {
    await put('patched', COMPRESSIBLE, { compress: 'zstd' });
    const answer = await client.patch(entryPath('patched'), { value: { more: 1 } });
    expect(expectWritten(answer, 'updated').metadata.compression_ratio).toBeLessThan(0.1);
    await dropFromL1('patched');
    expect(await valueOf('patched')).toEqual({ ...COMPRESSIBLE, more: 1 });
  });

  test('with an algorithm that there is none of is refused', async () => {
    const answer = await client.put(entryPath('x'), { value: 1, options: { compress: 'rar' } });
    expectViolation(answer, 'options.compress', /./);
  });
});

describe('encryption', () => {
  const CANARY = 'the canary that nobody may see';

  test('leaves nothing of the value in a layer, on disk or in the log', async () => {
    await put('enc:1', { text: CANARY }, { encrypt: true });
    await put('secret:2', { text: CANARY });
    await put('enc:3', { text: CANARY.repeat(100) }, { encrypt: true, compress: false });
    await client.patch(entryPath('secret:2'), { value: { n: 1 } });
    await put('plain', 'what anybody may see');
    for (const key of ['enc:3', 'secret:2']) {
      await dropFromL1(key);
      expect(JSON.stringify(await valueOf(key))).toContain(CANARY);
    }
    const stored = await everythingStored();
    expect(stored).toContain('what anybody may see');
    expect(service.api.output()).not.toContain(CANARY);
    expect(stored.includes(CANARY)).toBe(false);
  });

  test('of a number that is counted up is not undone', async () => {
    const at = entryPath('secret:n', '/increment');
    await client.post(at, { by: 7 });
    expect((await client.post(at, { by: 7 })).json).toMatchObject({ value: 14 });
    await put('enc:n', 5, { encrypt: true });
    expect((await client.post(entryPath('enc:n', '/increment'), {})).json).toMatchObject({ value: 6 });
    await dropFromL1('enc:n');
    expect(await valueOf('enc:n')).toBe(6);
  });

  // Another process with other keys: the embedded stores take one.
  const onTwoNodes = STORES === 'embedded' ? test.skip : test;
  onTwoNodes(
    'goes on with a new key, with which it seals what there was, and fails for what no key opens',
    async () => {
      await put('enc:old', { text: CANARY }, { encrypt: true, ttl: 0 });
      const nodeWith = async (keys: string) => {
        const api = await startApi({
          env: { LOG_LEVEL: 'info', ...service.stores, ENCRYPTION_KEYS: keys, BOOTSTRAP_API_KEY: service.api.apiKey },
        });
        const by = new Client(api.url, client.headers);
        let stopped: Promise<unknown> | undefined;
        const stop = () => (by.close(), (stopped ??= api.stop()));
        ends.push(stop);
        return { by, api, stop };
      };
      const rotated = await nodeWith(`${KEY_B},${KEY_A}`);
      expect(valueText(await rotated.by.get(entryPath('enc:old')), 'enc:old')).toContain(CANARY);
      await eventually('what there was is sealed with the new key', () =>
        rotated.api.output().includes('have been encrypted with the current key'),
      );
      await rotated.by.put(entryPath('enc:new'), { value: CANARY, options: { encrypt: true } });
      await rotated.stop();
      const only = await nodeWith(KEY_B);
      expect(valueText(await only.by.get(entryPath('enc:new')), 'enc:new')).toContain(CANARY);
      expect(valueText(await only.by.get(entryPath('enc:old')), 'enc:old')).toContain(CANARY);
      await only.stop();
      const neither = await nodeWith(`c:${Buffer.alloc(32, 3).toString('base64')}`);
      expectError(await neither.by.get(entryPath('enc:old')), 500, 'INTERNAL_SERVER_ERROR');
      expect((await neither.by.get('/health/ready')).status).toBe(200);
      await neither.stop();
    },
  );
});

describe('ttl', () => {
  const ttlOf = (metadata: { created_at: string; expires_at: string | null }) =>
    (Date.parse(metadata.expires_at!) - Date.parse(metadata.created_at)) / 1000;

  test('with jitter ends earlier by chance, by no more than was said', async () => {
    const ttls = [];
    for (let index = 0; index < 40; index++) {
      ttls.push(ttlOf(await put(`jitter:${index}`, 1, { ttl: 1000, ttl_jitter: 0.2 })));
    }
    expect(Math.min(...ttls)).toBeGreaterThanOrEqual(799);
    expect(Math.max(...ttls)).toBeLessThanOrEqual(1001);
    expect(Math.max(...ttls) - Math.min(...ttls)).toBeGreaterThan(50);
  });

  test('that slides is renewed by reads, and ends without them', async () => {
    await put('sliding', 1, { ttl: 2, sliding: true });
    await put('fixed', 1, { ttl: 2 });
    const renewed = eventually('the entry without it has expired', async () => {
      expect((await client.get(entryPath('sliding'))).status).toBe(200);
      return (await client.get(entryPath('fixed'))).status === 404;
    });
    await renewed;
    expect((await client.get(entryPath('sliding'))).status).toBe(200);
    await eventually('nobody has read it for long enough', async () => {
      const { json } = await client.get('/v1/cache?prefix=sliding');
      return (json as { keys: unknown[] }).keys.length === 0;
    });
  });

  test.each([
    ['ttl_jitter', 1.5],
    ['ttl_jitter', -0.1],
    ['sliding', 'yes'],
    ['encrypt', 1],
  ])('and %s of %s is refused', async (name, option) => {
    const answer = await client.put(entryPath('refused'), { value: 1, options: { [name]: option } });
    expectViolation(answer, `options.${name}`, /./);
  });
});
