import { readResponseSchema, touchResponseSchema } from '@cache-system/contracts';
import { type Client, entryPath } from './support/client.js';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { expectError, expectExactly, expectViolation, expectWritten } from './support/expectations.js';
import { DEEPEST_LAYER, type Service, startService } from './support/service.js';

let service: Service;
let client: Client;

beforeAll(async () => {
  service = await startService({ [`CACHE__LAYERS__${DEEPEST_LAYER}__TTL_DEFAULT`]: '7200' });
  client = service.client;
});
afterAll(() => service.stop());

async function storedFor(path: string, options: object = {}): Promise<number | null> {
  const { metadata } = expectWritten(await client.put(path, { value: 1, options }), 'created');
  return secondsToLive(metadata);
}

function secondsToLive({ updated_at, expires_at }: { updated_at: string; expires_at: string | null }): number | null {
  return expires_at === null ? null : (Date.parse(expires_at) - Date.parse(updated_at)) / 1000;
}

async function expiryOf(key: string): Promise<string | null | undefined> {
  const answer = await client.get(`${entryPath(key)}?include_metadata=true`);
  return readResponseSchema.parse(answer.json).metadata?.expires_at;
}

describe('the ttl', () => {
  test('of the query wins over that of the options and this over the default', async () => {
    expect(await storedFor(`${entryPath('both')}?ttl=10`, { ttl: 20 })).toBe(10);
    expect(await storedFor(entryPath('options'), { ttl: 20 })).toBe(20);
    expect(await storedFor(entryPath('neither'))).toBe(7200);
  });

  test('of 0 means no expiry in either place', async () => {
    expect(await storedFor(`${entryPath('query-0')}?ttl=0`)).toBeNull();
    expect(await storedFor(`${entryPath('query-0-wins')}?ttl=0`, { ttl: 20 })).toBeNull();
    expect(await storedFor(entryPath('options-0'), { ttl: 0 })).toBeNull();
    expect(await expiryOf('options-0')).toBeNull();
  });

  test('goes up to ten years and not further', async () => {
    expect(await storedFor(`${entryPath('long')}?ttl=315360000`)).toBe(315_360_000);
    const tooLong = await client.put(`${entryPath('long')}?ttl=315360001`, { value: 1 });
    expectViolation(tooLong, 'ttl', /whole number of seconds/);
  });

  test('of a replacement is its own and not that of what was there', async () => {
    await client.put(`${entryPath('replaced')}?ttl=10`, { value: 1 });
    const put = expectWritten(await client.put(entryPath('replaced'), { value: 2 }), 'updated');
    expect(secondsToLive(put.metadata)).toBe(7200);
    const post = expectWritten(await client.post(`${entryPath('replaced')}?ttl=0`, { value: 3 }), 'updated');
    expect(post.metadata.expires_at).toBeNull();
  });
});

describe('an entry whose time is over', () => {
  /** Reads until the entry is gone, and says when it was last asked for and there, and first found to be gone. */
  async function watchExpire(at: string): Promise<{ lastThere: number; firstGone: number }> {
    let lastThere = 0;
    await eventually('the entry expires', async () => {
      const askedAt = Date.now();
      const { status } = await client.get(at);
      if (status === 200) lastThere = askedAt;
      return status === 404;
    });
    return { lastThere, firstGone: Date.now() };
  }

  test.each([
    ['L1', ''],
    [DEEPEST_LAYER, '&strategy=write-around'],
  ])('is gone from %s on time and lives until then', async (layer, strategy) => {
    const at = entryPath(`expiring:${layer}`);
    const { metadata } = expectWritten(await client.put(`${at}?ttl=1${strategy}`, { value: 1 }), 'created');
    const expiresAt = Date.parse(metadata.expires_at ?? '');
    const { lastThere, firstGone } = await watchExpire(at);
    expect(lastThere).toBeLessThanOrEqual(expiresAt);
    // Redis counts from the millisecond in which its script began.
    expect(firstGone).toBeGreaterThanOrEqual(expiresAt - 2);
  });

  test('is missing for every operation and a PUT creates it anew', async () => {
    const at = entryPath('expired');
    const old = expectWritten(await client.put(`${at}?ttl=1`, { value: { a: 1 } }), 'created');
    await watchExpire(at);
    expect((await client.send('HEAD', at)).status).toBe(404);
    expectError(await client.post(at, { value: 1 }), 404, 'CACHE_KEY_NOT_FOUND');
    expectError(await client.patch(at, { value: { b: 1 } }), 404, 'CACHE_KEY_NOT_FOUND');
    expectError(await client.post(`${at}/touch`, { ttl: 10 }), 404, 'CACHE_KEY_NOT_FOUND');
    expectError(await client.delete(at), 404, 'CACHE_KEY_NOT_FOUND');
    const anew = expectWritten(await client.put(at, { value: 1 }), 'created');
    expect(Date.parse(anew.metadata.created_at)).toBeGreaterThan(Date.parse(old.metadata.created_at));
  });
});

describe('touch', () => {
  test('gives a new expiry and leaves value version and write time alone', async () => {
    const at = entryPath('touched');
    const { metadata } = expectWritten(await client.put(`${at}?ttl=10`, { value: { a: 1 } }), 'created');
    const before = Date.now();
    const answer = await client.post(`${at}/touch`, { ttl: 100 });
    expect(answer.status).toBe(200);
    const touched = expectExactly(touchResponseSchema, answer.json);
    expect(touched).toMatchObject({ key: 'touched', status: 'touched', metadata: { version: metadata.version } });
    expect(answer.headers['etag']).toBe(`"${metadata.version}"`);
    expect(touched.metadata.updated_at).toBe(metadata.updated_at);
    expect(Date.parse(touched.metadata.expires_at ?? '')).toBeGreaterThanOrEqual(before + 100_000);
    const read = await client.get(at);
    expect(read.text).toBe('{"key":"touched","value":{"a":1}}');
    expect(read.headers['etag']).toBe(answer.headers['etag']);
    expect(await expiryOf('touched')).toBe(touched.metadata.expires_at);
  });

  test('with 0 takes the expiry away and with less time brings it forward', async () => {
    const at = entryPath('retouched');
    await client.put(`${at}?ttl=10`, { value: 1 });
    await client.post(`${at}/touch`, { ttl: 0 });
    expect(await expiryOf('retouched')).toBeNull();
    await client.post(`${at}/touch`, { ttl: 1 });
    await eventually('the entry expires', async () => (await client.get(at)).status === 404);
  });

  test('saves an entry from its expiry', async () => {
    const { metadata } = expectWritten(await client.put(`${entryPath('saved')}?ttl=1`, { value: 1 }), 'created');
    await client.put(`${entryPath('witness')}?ttl=2`, { value: 1 });
    await client.post(`${entryPath('saved')}/touch`, { ttl: 60 });
    await eventually('a later expiry', async () => (await client.get(entryPath('witness'))).status === 404);
    expect(Date.now()).toBeGreaterThan(Date.parse(metadata.expires_at ?? ''));
    expect((await client.get(entryPath('saved'))).status).toBe(200);
  });

  test('is 404 where nothing is there', async () => {
    const answer = await client.post(entryPath('untouchable', '/touch'), { ttl: 1 });
    expect(expectError(answer, 404, 'CACHE_KEY_NOT_FOUND')).toMatchObject({ key: 'untouchable' });
  });

  test.each([
    [{}, 'ttl', /whole number of seconds/],
    [{ ttl: -1 }, 'ttl', /whole number of seconds/],
    [{ ttl: '5' }, 'ttl', /whole number of seconds/],
    [{ ttl: 5, more: 1 }, '', /unknown: more/],
    ['{"ttl":1,"ttl":2}', 'ttl', /twice/],
    ['', '', /a JSON body is required/],
    [[], '', /must be a JSON object/],
  ])('refuses %j', async (body, field, rule) => {
    expectViolation(await client.post(entryPath('k', '/touch'), body), field, rule);
  });
});
