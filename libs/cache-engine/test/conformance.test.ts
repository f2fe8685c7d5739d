import { type Entry, jsonText, jsonValue } from '../src/entry.js';
import { MalformedCursor } from '../src/errors.js';
import type { Layer } from '../src/layer.js';
import { type Condition, type Increment, KEEP_EXPIRY, NO_EXPIRY, type Outcome, type Put } from '../src/mutation.js';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { type OpenLayer, type Store, STORES } from './layers.js';

const MINUTE_MS = 60_000;

describe.each(Object.keys(STORES))('layer %s', (name) => {
  let store: Store;
  let open: OpenLayer;
  let layer: Layer;

  beforeAll(async () => {
    store = await STORES[name]!();
    open = await store.open();
    layer = open.layer;
  });
  afterAll(async () => {
    await open.close();
    await store.stop();
  });

  const put = (key: string, text: string, ttlMs = MINUTE_MS, condition?: Condition): Put => ({
    kind: 'put',
    key,
    content: { ...jsonValue(text), defaultTtl: false },
    ttlMs,
    ...(condition && { condition }),
  });
  const apply = async (mutation: Parameters<Layer['applyMany']>[0][number]): Promise<Outcome> =>
    (await layer.applyMany([mutation]))[0]!;
  const get = async (key: string): Promise<Entry | undefined> => (await layer.getMany([key]))[0];
  const stampOf = (outcome: Outcome) => {
    if (!('stamp' in outcome)) throw new Error(`came out as ${outcome.status}`);
    return outcome.stamp;
  };

  test.each([
    '{"a":[1,2.50,-0,12345678901234567890]}',
    'null',
    '""',
    '"grün 🎈"',
    '"\\ud800"',
    `"${'x'.repeat(100_000)}"`,
  ])('gives back the bytes that were stored (%#)', async (text) => {
    await apply(put('ns:bytes', text));
    const entry = await get('ns:bytes');
    expect(entry && jsonText(entry)).toBe(text);
    expect(entry?.payload).toEqual(Buffer.from(text));
    expect(entry?.format).toBe('json');
  });

  test.each(['ns:a/b', 'ns:{x}', 'ns:*?[a]\\', 'ns:__proto__', 'ns: ', 'ns:é🎈', `ns:${'k'.repeat(512)}`, 'ns:\'";--'])(
    'takes %s as an opaque key',
    async (key) => {
      await apply(put(key, `"value of ${key.length}"`));
      expect((await get(key))?.payload.toString()).toBe(`"value of ${key.length}"`);
      expect((await apply({ kind: 'remove', key })).status).toBe('removed');
      expect(await get(key)).toBeUndefined();
    },
  );

  test('tells creation from update and keeps the time of creation', async () => {
    const created = await apply(put('ns:created', '1'));
    const updated = await apply(put('ns:created', '2'));
    expect([created.status, updated.status]).toEqual(['created', 'updated']);
    expect(stampOf(updated).createdAtMs).toBe(stampOf(created).createdAtMs);
    expect(stampOf(updated).version).toBeGreaterThan(stampOf(created).version);
    expect(await get('ns:created')).toMatchObject(stampOf(updated));
  });

  test('never hands out a version twice for a key, not even across a removal', async () => {
    const versions: number[] = [];
    for (let round = 0; round < 5; round++) {
      versions.push(stampOf(await apply(put('ns:monotonic', '1'))).version);
      versions.push((await apply({ kind: 'remove', key: 'ns:monotonic' })).revision);
    }
    expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b));
  });

  test('answers many keys in their order, absent ones as undefined', async () => {
    await layer.applyMany([put('ns:m1', '1'), put('ns:m3', '3')]);
    const entries = await layer.getMany(['ns:m1', 'ns:m2', 'ns:m3']);
    expect(entries.map((entry) => entry && jsonText(entry))).toEqual(['1', undefined, '3']);
  });

  test('runs the mutations of a batch in order', async () => {
    const outcomes = await layer.applyMany([
      put('ns:batch', '1'),
      put('ns:batch', '2'),
      { kind: 'remove', key: 'ns:batch' },
      put('ns:batch', '3'),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['created', 'updated', 'removed', 'created']);
    expect(jsonText((await get('ns:batch'))!)).toBe('3');
  });

  describe('conditions', () => {
    const key = 'ns:conditional';
    let version: number;

    beforeEach(async () => {
      await apply({ kind: 'remove', key });
      version = stampOf(await apply(put(key, '"old"'))).version;
    });

    test.each<[string, (version: number) => Condition, boolean]>([
      ['exists', () => ({ exists: true }), true],
      ['is absent', () => ({ exists: false }), false],
      ['has this version', (own) => ({ versionIn: [1, own] }), true],
      ['has another version', (own) => ({ versionIn: [own + 1] }), false],
      ['has one of no versions', () => ({ versionIn: [] }), false],
      ['has not this version', (own) => ({ versionNotIn: [own] }), false],
      ['has not another version', (own) => ({ versionNotIn: [own - 1, own + 1] }), true],
      ['exists and has not this version', (own) => ({ exists: true, versionNotIn: [own] }), false],
    ])('on an entry that is there: %s', async (_, condition, holds) => {
      const outcome = await apply(put(key, '"new"', MINUTE_MS, condition(version)));
      expect(outcome.status).toBe(holds ? 'updated' : 'refused');
      expect(jsonText((await get(key))!)).toBe(holds ? '"new"' : '"old"');
    });

    test.each<[string, Condition, boolean]>([
      ['exists', { exists: true }, false],
      ['is absent', { exists: false }, true],
      ['has a version', { versionIn: [1] }, false],
      ['has not a version', { versionNotIn: [1] }, true],
    ])('on an entry that is not there: %s', async (_, condition, holds) => {
      await apply({ kind: 'remove', key });
      expect((await apply(put(key, '"new"', MINUTE_MS, condition))).status).toBe(holds ? 'created' : 'refused');
      expect((await get(key)) !== undefined).toBe(holds);
    });

    test('guard removals too', async () => {
      expect((await apply({ kind: 'remove', key, condition: { versionIn: [version + 1] } })).status).toBe('refused');
      expect((await apply({ kind: 'remove', key, condition: { versionIn: [version] } })).status).toBe('removed');
    });

    test('let exactly one of 64 concurrent writers win a version', async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 64 }, (_, writer) => apply(put(key, String(writer), MINUTE_MS, { versionIn: [version] }))),
      );
      const winners = outcomes.flatMap(({ status }, writer) => (status === 'updated' ? [writer] : []));
      expect(winners).toHaveLength(1);
      expect(jsonText((await get(key))!)).toBe(String(winners[0]));
    });

    test('let exactly one of 64 concurrent writers create', async () => {
      await apply({ kind: 'remove', key });
      const outcomes = await Promise.all(
        Array.from({ length: 64 }, () => apply(put(key, '1', MINUTE_MS, { exists: false }))),
      );
      expect(outcomes.filter(({ status }) => status === 'created')).toHaveLength(1);
    });
  });

  describe('expiry', () => {
    test('an entry is gone once its time is over, and may be created anew', async () => {
      await apply(put('ns:short', '1', 1000));
      expect(await get('ns:short')).toBeDefined();
      await eventually('the entry expires', async () => (await get('ns:short')) === undefined);
      expect((await apply(put('ns:short', '2', MINUTE_MS, { exists: false }))).status).toBe('created');
    });

    test('an entry without expiry says so', async () => {
      await apply(put('ns:for-ever', '1', NO_EXPIRY));
      expect((await get('ns:for-ever'))?.expiresAtMs).toBe(0);
    });

    test('a put may keep the expiry', async () => {
      const first = stampOf(await apply(put('ns:keep', '1', MINUTE_MS)));
      const second = stampOf(await apply(put('ns:keep', '2', KEEP_EXPIRY)));
      expect(second.expiresAtMs).toBe(first.expiresAtMs);
      expect(stampOf(await apply(put('ns:keep-new', '1', KEEP_EXPIRY))).expiresAtMs).toBe(0);
    });

    test('a kept expiry still ends the entry', async () => {
      await apply(put('ns:keep-short', '1', 1000));
      await apply(put('ns:keep-short', '2', KEEP_EXPIRY));
      await eventually('the entry expires', async () => (await get('ns:keep-short')) === undefined);
    });

    test('a touch changes the expiry and nothing else but the revision', async () => {
      const before = stampOf(await apply(put('ns:touch', '"value"', 1000)));
      const outcome = await apply({ kind: 'touch', key: 'ns:touch', ttlMs: MINUTE_MS });
      const after = stampOf(outcome);
      expect(outcome.status).toBe('touched');
      expect(after).toMatchObject({
        version: before.version,
        createdAtMs: before.createdAtMs,
        updatedAtMs: before.updatedAtMs,
      });
      expect(after.revision).toBeGreaterThan(before.revision);
      expect(after.expiresAtMs).toBeGreaterThan(before.expiresAtMs);
      await eventually('the first expiry is over', () => Date.now() > before.expiresAtMs + 50);
      expect(jsonText((await get('ns:touch'))!)).toBe('"value"');
      expect(stampOf(await apply({ kind: 'touch', key: 'ns:touch', ttlMs: NO_EXPIRY })).expiresAtMs).toBe(0);
      expect((await get('ns:touch'))?.expiresAtMs).toBe(0);
    });

    test('a touch that only prolongs leaves a later expiry as it is', async () => {
      const prolong = async (ttlMs: number) =>
        stampOf(await apply({ kind: 'touch', key: 'ns:prolong', ttlMs, condition: { onlyLater: true } })).expiresAtMs;
      const { expiresAtMs } = stampOf(await apply(put('ns:prolong', '1', MINUTE_MS)));
      expect(await prolong(1000)).toBe(expiresAtMs);
      expect((await get('ns:prolong'))?.expiresAtMs).toBe(expiresAtMs);
      expect(await prolong(2 * MINUTE_MS)).toBeGreaterThanOrEqual(expiresAtMs + MINUTE_MS);
      expect(await prolong(NO_EXPIRY)).toBe(0);
      expect(await prolong(MINUTE_MS)).toBe(0);
      expect((await get('ns:prolong'))?.expiresAtMs).toBe(0);
    });

    test('a touch of what is not there says so', async () => {
      expect((await apply({ kind: 'touch', key: 'ns:nothing', ttlMs: MINUTE_MS })).status).toBe('missing');
    });
  });

  describe('an increment', () => {
    const increment = (key: string, by: number, more: Partial<Increment> = {}): Increment => ({
      kind: 'increment',
      key,
      by,
      initial: 10,
      ttlMs: KEEP_EXPIRY,
      initialTtlMs: MINUTE_MS,
      defaultTtl: true,
      ...more,
    });

    test('creates from the initial value, and adds from then on', async () => {
      const created = await apply(increment('ns:count', 5));
      expect(created).toMatchObject({ status: 'created', sum: 15 });
      expect(await get('ns:count')).toMatchObject({ defaultTtl: true, ...stampOf(created) });
      expect(await apply(increment('ns:count', -20))).toMatchObject({ status: 'updated', sum: -5 });
      expect(jsonText((await get('ns:count'))!)).toBe('-5');
    });

    test('loses none of 200 at once', async () => {
      await apply({ kind: 'remove', key: 'ns:hits' });
      await Promise.all(Array.from({ length: 200 }, () => apply(increment('ns:hits', 1, { initial: 0 }))));
      expect(jsonText((await get('ns:hits'))!)).toBe('200');
    });

    test('keeps the expiry, or sets it', async () => {
      const first = stampOf(await apply(put('ns:count-ttl', '1', MINUTE_MS)));
      expect(stampOf(await apply(increment('ns:count-ttl', 1))).expiresAtMs).toBe(first.expiresAtMs);
      expect(stampOf(await apply(increment('ns:count-ttl', 1, { ttlMs: NO_EXPIRY }))).expiresAtMs).toBe(0);
    });

    test.each(['1.5', '"1"', '[1]', '1234567890123456', '1e3', 'null', '{"a":1}'])(
      'leaves %s to the caller, untouched',
      async (text) => {
        const { version } = stampOf(await apply(put('ns:no-count', text)));
        expect((await apply(increment('ns:no-count', 1))).status).toBe('unsuitable');
        expect((await get('ns:no-count'))?.version).toBe(version);
      },
    );

    test('obeys its condition', async () => {
      const { version } = stampOf(await apply(put('ns:count-if', '1')));
      const refused = await apply(increment('ns:count-if', 1, { condition: { versionIn: [version + 1] } }));
      expect(refused.status).toBe('refused');
      expect(await apply(increment('ns:count-if', 1, { condition: { versionIn: [version] } }))).toMatchObject({
        sum: 2,
      });
    });
  });

  describe('a lease', () => {
    const key = 'ns:leased';
    const lease = (leaseMs = MINUTE_MS) => apply({ kind: 'lease', key, leaseMs });
    const fill = (token: number, text: string) => apply(put(key, text, MINUTE_MS, { lease: token }));

    beforeEach(async () => {
      await apply(put(key, '"gone"'));
      await apply({ kind: 'remove', key });
    });

    test('goes to one of 50 who ask at once, and is no entry', async () => {
      const outcomes = await Promise.all(Array.from({ length: 50 }, () => lease()));
      const statuses = outcomes.map(({ status }) => status);
      expect(statuses.filter((status) => status === 'leased')).toHaveLength(1);
      expect(statuses.filter((status) => status === 'taken')).toHaveLength(49);
      expect(await get(key)).toBeUndefined();
      expect((await apply({ kind: 'touch', key, ttlMs: 1000 })).status).toBe('missing');
    });

    test('lets its holder fill, once', async () => {
      const { revision } = await lease();
      expect((await fill(revision, '"filled"')).status).toBe('created');
      expect(jsonText((await get(key))!)).toBe('"filled"');
      expect((await fill(revision, '"again"')).status).toBe('refused');
      expect((await lease()).status).toBe('present');
    });

    test.each([
      ['a removal', () => apply({ kind: 'remove', key })],
      ['a write', () => apply(put(key, '"other"'))],
    ])('ends with %s: what was read before it does not come back', async (_, overtake) => {
      const { revision } = await lease();
      await overtake();
      expect((await fill(revision, '"old"')).status).toBe('refused');
    });

    test('passes on when it ends, and then refuses the first holder', async () => {
      const first = await lease(50);
      let second = first;
      await eventually('the lease ends', async () => (second = await lease()).status === 'leased');
      expect(second.revision).toBeGreaterThan(first.revision);
      expect((await fill(first.revision, '"late"')).status).toBe('refused');
      expect((await fill(second.revision, '"filled"')).status).toBe('created');
    });

    test('that is only asked after goes to nobody, and passes to nobody where it has ended', async () => {
      expect((await lease(0)).status).toBe('missing');
      const { revision } = await lease(50);
      expect(['taken', 'missing']).toContain((await lease(0)).status);
      await eventually('the lease ends', async () => (await lease(0)).status === 'missing');
      expect((await fill(revision, '"filled"')).status).toBe('created');
      expect((await lease(0)).status).toBe('present');
    });

    test('outlives a removal that was refused', async () => {
      const { revision } = await lease();
      expect((await apply({ kind: 'remove', key, condition: { versionIn: [1] } })).status).toBe('refused');
      expect((await lease()).status).toBe('taken');
      expect((await fill(revision, '1')).status).toBe('created');
    });

    test('can be given back by its holder only', async () => {
      const { revision } = await lease();
      expect((await apply({ kind: 'release', key, token: revision - 1 })).status).toBe('missing');
      expect((await lease()).status).toBe('taken');
      expect((await apply({ kind: 'release', key, token: revision })).status).toBe('released');
      expect((await lease()).status).toBe('leased');
    });
  });

  test('a removal of what is not there says so', async () => {
    expect((await apply({ kind: 'remove', key: 'ns:nothing' })).status).toBe('missing');
  });

  test('a scan finds every live key of a prefix and no other, page by page', async () => {
    const wanted = Array.from({ length: 250 }, (_, index) => `scan:*[${index}]`);
    await layer.applyMany(wanted.map((key) => put(key, '1')));
    await layer.applyMany([put('scanner:1', '1'), put('scam:1', '1'), put('scan:gone', '1', 30)]);
    await eventually('an entry expires', async () => (await get('scan:gone')) === undefined);
    const found: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await layer.scan('scan:', cursor, 40);
      found.push(...page.heads.map(({ key }) => key));
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect([...new Set(found)].sort()).toEqual([...wanted].sort());
  });

  // Nobody but this process gives the layer in memory a cursor.
  const onlyOurs = name === 'memory' ? test.skip : test;
  onlyOurs.each(['', 'abc', '-1', '1e3', 'ab:0', `${'0'.repeat(40)}:x`, 'x'.repeat(5000)])(
    'refuses a cursor that no scan has given (%#)',
    async (cursor) => {
      await expect(layer.scan('scan:', cursor, 40)).rejects.toBeInstanceOf(MalformedCursor);
    },
  );

  test('answers a check', async () => {
    await expect(layer.check()).resolves.toBeUndefined();
  });
});
