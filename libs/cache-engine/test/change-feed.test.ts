import { eventually } from '../../../tools/harness/eventually.mjs';
import { redisCommand } from '../../../tools/harness/redis-command.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { Announcer } from '../src/backplane/announcer.js';
import { RedisBackplane } from '../src/backplane/redis-backplane.js';
import type { Cache } from '../src/cache.js';
import { type CacheEvent, ChangeFeed, type FeedReader } from '../src/change-feed.js';
import { jsonValue } from '../src/entry.js';
import { Expiries } from '../src/redis/expiries.js';
import { LEASE_MS, openRedis, type OpenLayer, SHARED_STORES, type Store } from './layers.js';
import { MIB, nodeOn, put } from './nodes.js';
import { later, local, open } from './redis-support.js';

/** A feed that is read all the time. */
function read(feed: ChangeFeed, after?: string) {
  const events: CacheEvent[] = [];
  const reader: FeedReader = feed.open(after, () => {
    for (let event = reader.next(); event; event = reader.next()) events.push(event);
  });
  for (let event = reader.next(); event; event = reader.next()) events.push(event);
  return { events, reader };
}

const told = (events: readonly CacheEvent[]) =>
  events.map(({ kind, key, tag, pattern }) => [kind, key, ...((tag ?? pattern) ? [tag ?? pattern] : [])].join(' '));

describe.each(Object.keys(SHARED_STORES))('the feed of another node, over %s', (name) => {
  let store: Store;
  let opened: [OpenLayer, OpenLayer];
  let writer: Cache;
  let feeds: [ChangeFeed, ChangeFeed];

  beforeAll(async () => {
    store = await SHARED_STORES[name]!();
    opened = [await store.open(), await store.open()];
    writer = nodeOn(opened[0]).cache;
    feeds = [new ChangeFeed(opened[0].backplane, () => MIB), new ChangeFeed(opened[1].backplane, () => MIB)];
    await eventually('both are trusted', () => opened.every(({ backplane }) => backplane.isTrusted()));
    await feeds[1].listen();
  });
  afterAll(async () => {
    for (const open of opened) await open.close();
    await store.stop();
  });

  /** What is told of some keys until all of that has come. */
  async function toldOf(part: string, change: () => Promise<unknown>): Promise<string[]> {
    const { events, reader } = read(feeds[1]);
    await change();
    await put(writer, `ns:end of ${part}`, '1');
    await eventually('all is told', () => events.some(({ key }) => key === `ns:end of ${part}`));
    reader.close();
    return told(events.filter(({ key, kind }) => kind === 'invalidate' || key.startsWith(`ns:${part}`)));
  }

  test('tells what kind of change it was, and nothing of what readers do not see', async () => {
    const key = 'ns:kinds';
    const events = await toldOf('kinds', async () => {
      await put(writer, key, '1');
      await put(writer, key, '2');
      await writer.increment(key, { by: 1, initial: 0 });
      await writer.touch(key, 60);
      await writer.remove(key);
      await writer.discard(key);
      await writer.lease({ kind: 'lease', key, leaseMs: 1000 });
      await writer.dropFromL1(key).catch(() => undefined);
      await put(writer, key, '3');
    });
    expect(events).toEqual([...Array<string>(3).fill(`set ${key}`), `delete ${key}`, `set ${key}`]);
  });

  test('gives the version of what was set', async () => {
    const { events, reader } = read(feeds[1]);
    const { entry } = await put(writer, 'ns:version', '1');
    await eventually('it is told', () => events.length > 0);
    expect(events[0]!.revision).toBe(entry.version);
    reader.close();
  });

  test('tells of a tag once it is invalidated, not when it is made, and of sweeps with what they look for', async () => {
    const sweep = 'invalidate ns:a\n= b \u0005swept a\n*';
    const { events, reader } = read(feeds[1]);
    await writer.put('ns:tagged', jsonValue('1'), { tags: ['shelf'] });
    await writer.invalidateTag('ns', 'shelf');
    await writer.invalidateTag('ns', 'nobody has it');
    await writer.announceSweep('ns:a\n= b \u0005swept', { pattern: 'a\n*' });
    // Different keys have different masters, of which one may be heard before the other.
    await eventually('all is told', () => events.length === 3);
    expect(told(events).sort()).toEqual(['invalidate ns: shelf', sweep, 'set ns:tagged']);
    reader.close();
  });

  test('tells once of each entry that ends with its ttl, and not of keys that had none any more', async () => {
    const { events, reader } = read(feeds[1]);
    await writer.put('ns:gone', jsonValue('1'), { ttlSeconds: 1 });
    await put(writer, 'ns:stays', '1');
    await eventually('it is told', () => told(events).includes('expire ns:gone'));
    await put(writer, 'ns:gone', '2');
    await eventually('what follows is told', () => told(events).filter((each) => each === 'set ns:gone').length === 2);
    expect(told(events).filter((each) => each.endsWith('gone'))).toEqual([
      'set ns:gone',
      'expire ns:gone',
      'set ns:gone',
    ]);
    reader.close();
  });

  test('goes on where a reader was on this node, and where one was on the other', async () => {
    const here = read(feeds[1]);
    const there = read(feeds[0]);
    // What is to be gone on from must have been heard since both listen, by more than clocks may differ.
    const start = opened[1].backplane.position();
    await eventually(
      'clocks do not matter',
      () => opened[1].backplane.position() >= start + opened[1].backplane.disorder,
    );
    await put(writer, 'ns:first', '1');
    await eventually('both have it', () => [here, there].every(({ events }) => events.at(-1)?.key === 'ns:first'));
    const last = [here, there].map(({ events }) => events.at(-1)!.id);
    for (const { reader } of [here, there]) reader.close();
    await put(writer, 'ns:second', '1');
    await put(writer, 'ns:third', '1');
    const [same, other] = last.map((id) => read(feeds[1], id));
    await eventually('it is told', () => [same!, other!].every(({ events }) => events.at(-1)?.key === 'ns:third'));
    expect(told(same!.events)).toEqual(['set ns:second', 'set ns:third']);
    expect(told(other!.events).slice(-2)).toEqual(['set ns:second', 'set ns:third']);
    expect([same, other].map((each) => each!.reader.isResumed)).toEqual([true, true]);
    for (const each of [same, other]) each!.reader.close();
  });

  test.each(['', 'nonsense', '1-a', '1', '9007199254740991', '-1'])('cannot go on from %j', (id) => {
    const { reader } = read(feeds[1], id);
    expect(reader.isResumed).toBe(false);
    reader.close();
  });
});

test('a reader that is too slow loses its place, and what is kept stays within its bound', async () => {
  const store = await SHARED_STORES['lmdb']!();
  const opened = await store.open();
  const { cache } = nodeOn(opened);
  const feed = new ChangeFeed(opened.backplane, () => 20_000);
  const reader = feed.open(undefined, () => undefined);
  await put(cache, 'ns:first', '1');
  opened.backplane.isTrusted();
  expect(reader.isLost()).toBe(false);
  const start = reader.next()!.id;
  await Promise.all(Array.from({ length: 200 }, (_, index) => put(cache, `ns:${index}`, '1')));
  await eventually('its place is gone', () => reader.isLost());
  expect(feed.open(start, () => undefined).isResumed).toBe(false);
  await opened.close();
  await store.stop();
});

describe('over one Redis', () => {
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let opened: Awaited<ReturnType<typeof openRedis>>;
  let cache: Cache;
  beforeEach(async () => {
    redis = await startRedis();
    opened = await openRedis(redis.url);
    ({ cache } = nodeOn(opened));
  });
  afterEach(async () => {
    await opened.close();
    await redis.stop();
  });
  const command = (...parts: string[]) => redisCommand(redis.port, parts);

  test('the end of what remembers a removal or a lease is not taken for that of an entry', async () => {
    const feed = new ChangeFeed(opened.backplane, () => MIB);
    await feed.listen();
    const { events } = read(feed);
    await put(cache, 'ns:removed', '1');
    await cache.remove('ns:removed');
    await cache.lease({ kind: 'lease', key: 'ns:leased', leaseMs: 1000 });
    await put(cache, 'ns:end', '1');
    for (const key of ['removed', 'leased', 'end']) await command('PEXPIRE', `cache{}:ns:${key}`, '1');
    await eventually('the last has expired', () => told(events).includes('expire ns:end'));
    expect(told(events)).toEqual(['set ns:removed', 'delete ns:removed', 'set ns:end', 'expire ns:end']);
  });

  test('what the server tells of already is told on', async () => {
    await command('CONFIG', 'SET', 'notify-keyspace-events', 'Kg');
    await new ChangeFeed(opened.backplane, () => MIB).listen();
    const { server } = await open({ nodes: [local(redis.port)] });
    const settings = await server.send<Record<string, Buffer>>(['CONFIG', 'GET', 'notify-keyspace-events']);
    expect(Array.from(String(settings['notify-keyspace-events'])).sort()).toEqual(['E', 'K', 'g', 'x']);
  });

  test('where the configuration may not be looked at, that is said, and what the server tells of is told on', async () => {
    await command('CONFIG', 'SET', 'notify-keyspace-events', 'Ex');
    await command('ACL', 'SETUSER', 'default', '-config');
    const reasons: string[] = [];
    const { server } = await open({ nodes: [local(redis.port)] });
    const announcer = new Announcer('cache-bus:0', 'other');
    const backplane = new RedisBackplane(server, announcer, LEASE_MS, undefined, ({ message }) =>
      reasons.push(message),
    );
    await backplane.start();
    const feed = new ChangeFeed(backplane, () => MIB);
    await feed.listen();
    expect(reasons).toEqual([expect.stringMatching(/^NOPERM/)]);
    const { events } = read(feed);
    await put(cache, 'ns:ends', '1');
    await command('PEXPIRE', 'cache{}:ns:ends', '1');
    await eventually('it is told', () => told(events).includes('expire ns:ends'));
    await backplane.close();
  });

  test('a reader is told when something was missed', async () => {
    const feed = new ChangeFeed(opened.backplane, () => MIB);
    await feed.listen();
    const { events } = read(feed);
    await command('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await eventually('it is told', () => told(events).includes('reset '));
  });

  test('a gap is told of once the server tells of expiries again', async () => {
    const { server } = await open({ nodes: [local(redis.port)] });
    const settings: Promise<unknown>[] = [];
    const ignore = () => undefined;
    const missed = () => settings.push(server.send(['CONFIG', 'GET', 'notify-keyspace-events']));
    const expiries = later(new Expiries(() => [server], { expired: ignore, missed, refused: ignore }), (each) =>
      each.stop(),
    );
    await expiries.ready();
    await command('CONFIG', 'SET', 'notify-keyspace-events', '');
    await command('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await eventually('it is told', () => settings.length === 2);
    expect(String(((await settings[1]) as Record<string, Buffer>)['notify-keyspace-events'])).toMatch(/xE|Ex/);
  });

  test('the place of who has read everything does not run ahead of what was heard', async () => {
    const { backplane } = opened;
    const { reader } = read(new ChangeFeed(backplane, () => MIB));
    await eventually('beats come back', () => reader.position() !== undefined);
    redis.freeze();
    const frozenAt = backplane.position();
    await eventually('time has passed', () => backplane.position() > frozenAt + backplane.disorder);
    const place = reader.position();
    redis.thaw();
    // The connection may have been given up meanwhile, and with it what is known.
    expect(Number(place ?? 0)).toBeLessThanOrEqual(frozenAt);
    reader.close();
  });

  test('another node listens as well while somebody reads at one', async () => {
    const other = await openRedis(redis.url);
    new ChangeFeed(other.backplane, () => MIB);
    const { reader } = read(new ChangeFeed(opened.backplane, () => MIB));
    const { server } = await open({ nodes: [local(redis.port)] });
    const channel = '__keyevent@0__:expired';
    await eventually(
      'it listens',
      async () => `${channel},2` === String(await server.send(['PUBSUB', 'NUMSUB', channel])),
    );
    reader.close();
    await other.close();
  });
});
