import { type Health, healthSchema } from '@cache-system/contracts';
import { createClient, RESP_TYPES } from 'redis';
import { entryPath } from './support/client.js';
import { expectError } from './support/expectations.js';
import { onRealStores, type Service, startService } from './support/service.js';
import { remember } from './support/unharmed.js';

const COMPRESSIBLE = 'the same again, '.repeat(1000);

/** Only there can somebody else get at the records while the service runs. */
onRealStores('a stored entry that is not as it was written', () => {
  let service: Service;
  let redis: Awaited<ReturnType<typeof connect>>;
  const connect = async () => {
    const client = createClient({ url: service.stores['REDIS_URL']! });
    await client.connect();
    return client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  };
  beforeAll(async () => {
    service = await startService({ ENCRYPTION_KEYS: `a:${Buffer.alloc(32, 1).toString('base64')}` });
    redis = await connect();
  });
  afterAll(async () => {
    redis.destroy();
    await service.stop();
  });

  /** Stores an entry and changes what Redis has of it. */
  async function stored(key: string, value: unknown, options: object, change: (record: Buffer) => Buffer) {
    await service.client.put(entryPath(key), { value, options });
    const name = `cache{}:default:${key}`;
    const record = await redis.get(name);
    if (!record) throw new Error(`Redis has no ${name}`);
    await redis.set(name, change(Buffer.from(record)));
    await service.client.delete(entryPath(key, '?cascade=false'));
  }
  const flipped = (record: Buffer) => {
    record[record.length - 1]! ^= 1;
    return record;
  };
  const counted = async (): Promise<Health['unreadable_entries']> =>
    healthSchema.parse((await service.client.get('/v1/monitor/health?detailed=true')).json).unreadable_entries;

  test('is an error, is counted by its reason, and can be replaced', async () => {
    const harm = await remember(service);
    const none = { no_keys: 0, unknown_key: 0, tampered: 0, damaged: 0 };
    expect(await counted()).toEqual(none);
    const unreadable = async (key: string) => {
      const answer = await service.client.get(entryPath(key, '?explain=true'));
      const details = expectError(answer, 500, 'INTERNAL_SERVER_ERROR');
      expect(details).toMatchObject({ key, explain: { status: 'error', layers: [{}, { outcome: 'failed' }] } });
    };
    await stored('sealed', 'secret', { encrypt: true }, flipped);
    await unreadable('sealed');
    expect(await counted()).toEqual({ ...none, tampered: 1 });
    await stored('packed', COMPRESSIBLE, { compress: 'gzip' }, flipped);
    await unreadable('packed');
    expect(await counted()).toEqual({ ...none, tampered: 1, damaged: 1 });
    // As it comes out where the key that it names is not there any more.
    await stored('lost', 'secret', { encrypt: true }, (record) => {
      const payloadAt = record.readUInt32BE(4);
      record.write('z', payloadAt + 2);
      return record;
    });
    await unreadable('lost');
    expect(await counted()).toEqual({ ...none, tampered: 1, unknown_key: 1, damaged: 1 });
    for (const key of ['sealed', 'packed', 'lost']) {
      expect((await service.client.put(entryPath(key), { value: 'new' })).status).toBe(200);
      expect((await service.client.get(entryPath(key))).json).toMatchObject({ value: 'new' });
    }
    await harm.expectUnharmed();
  });

  test.each([
    ['cut short', (record: Buffer) => record.subarray(0, 40)],
    ['empty', () => Buffer.alloc(0)],
    ['of another layout', (record: Buffer) => (record.writeUInt8(99, 0), record)],
    ['all zeros', (record: Buffer) => record.fill(0)],
    ['all ones', (record: Buffer) => record.fill(255)],
    ['with attributes that are none', (record: Buffer) => record.fill(0x7b, 72, 100)],
  ])('%s is as good as none, does no harm, and can be replaced', async (name, change) => {
    const harm = await remember(service);
    const key = `damaged ${name}`;
    await stored(key, 'x'.repeat(2000), { tags: ['of-it'], compress: 'gzip' }, change);
    expectError(await service.client.get(entryPath(key)), 404, 'CACHE_KEY_NOT_FOUND');
    expect((await service.client.get('/v1/cache?prefix=damaged')).status).toBe(200);
    expect((await service.client.put(entryPath(key), { value: 'new' })).status).toBeLessThan(300);
    expect((await service.client.get(entryPath(key))).json).toMatchObject({ value: 'new' });
    await harm.expectUnharmed();
  });
});
