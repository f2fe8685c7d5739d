import { readFileSync } from 'node:fs';
import path from 'node:path';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { startRedisCluster } from '../../../tools/harness/redis-cluster.mjs';
import { redisCommand } from '../../../tools/harness/redis-command.mjs';
import { startSentinels } from '../../../tools/harness/redis-sentinel.mjs';
import { Announcer } from '../src/backplane/announcer.js';
import { ClusterAdmin } from '../src/cluster/cluster-admin.js';
import { jsonValue } from '../src/entry.js';
import { RedisLayer } from '../src/layers/redis.js';
import { KEEP_EXPIRY, NO_EXPIRY, type Put } from '../src/mutation.js';
import type { Outbox } from '../src/outbox.js';
import { parseClusterNodes, parseRedisUrl } from '../src/redis/address.js';
import { openCluster, openRedis } from './layers.js';
import { create, later, local, open, redisWith } from './redis-support.js';

describe('the rights that the guide asks for', () => {
  const guide = readFileSync(path.join(__dirname, '../../../docs/guides/connecting-redis.md'), 'utf8');
  const [forServer = '', forCluster = '', forChanges = '', forSentinels = ''] = [
    ...guide.matchAll(/^```\n(.*[+].*)\n```$/gm),
  ].map(([, rules = '']) => rules.replace('user cache ', '').replace('PASSWORD', 'secret'));
  const admin = async (port: number) => (await open({ nodes: [local(port)] })).server;
  const put = (key: string): Put => ({
    kind: 'put',
    key,
    content: { ...jsonValue('"kept"'), defaultTtl: false },
    ttlMs: 60_000,
  });

  /** Everything that is asked of a layer and its backplane. */
  async function useAll(opened: Awaited<ReturnType<typeof openRedis | typeof openCluster>>) {
    const { layer, backplane } = opened;
    const keys = Array.from({ length: 20 }, (_, index) => `n:${index}`);
    await layer.applyMany(keys.map(put));
    await layer.applyMany(keys.map((key) => ({ kind: 'touch', key, ttlMs: 30_000 })));
    await layer.applyMany(keys.map((key) => ({ kind: 'touch', key, ttlMs: NO_EXPIRY })));
    await layer.applyMany(keys.map((key) => ({ ...put(key), ttlMs: KEEP_EXPIRY })));
    await layer.applyMany(keys.map((key) => ({ ...put(key), ttlMs: NO_EXPIRY })));
    const entries = await layer.getMany(keys, false);
    expect(entries.every(Boolean)).toBe(true);
    const found: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await layer.scan('n:', cursor, 100);
      found.push(...page.heads.map(({ key }) => key));
      ({ cursor } = page);
    } while (cursor !== undefined);
    expect(new Set(found)).toEqual(new Set(keys));
    if (layer instanceof RedisLayer) {
      const copies = keys.map((key, index) => ({ key, entry: entries[index], revision: 1e15, epoch: 1, ttlMs: 1000 }));
      await layer.copyMany(copies);
      await layer.getCopies(keys, 1);
    } else {
      await layer.applyReplicated(put('n:0'), (replicas) => replicas, 1000);
    }
    await layer.applyMany(keys.map((key) => ({ kind: 'remove', key })));
    await useOutbox(layer.outbox, (key) => layer.applyMany([{ ...put(key), noted: true }]));
    await layer.check();
    await backplane.distrustCopies();
    await opened.close();
  }

  async function useOutbox(outbox: Outbox, note: (key: string) => Promise<unknown>) {
    const failures = { attempts: 1, dueAtMs: 1, reason: 'for a reason' };
    for (const key of ['n:a', 'n:b']) {
      await note(key);
      const { version } = (await outbox.find(key))!.entry;
      for (const to of ['waiting', 'dead', 'gone'] as const) {
        for (const part of await outbox.parts()) {
          await outbox.counts(part);
          await outbox.due(part, undefined, 10);
          await outbox.list(part, 'waiting', undefined, 10);
        }
        expect(await outbox.change(key, version, { to, failures })).toBe(true);
      }
    }
    expect(await outbox.risk()).toBeUndefined();
    expect(await outbox.parts()).toEqual([]);
  }

  test('are enough for one server, in any database', async () => {
    const redis = await redisWith('--user', 'cache', ...forServer.split(' '));
    await useAll(await openRedis(`redis://cache:secret@127.0.0.1:${redis.port}/1`));
    await expect((await admin(redis.port)).send(['ACL', 'LOG'])).resolves.toEqual([]);
    await expect(
      open({ nodes: [local(redis.port)], access: parseRedisUrl(`redis://cache:wrong@x`).access }),
    ).rejects.toThrow('WRONGPASS');
  });

  test.each([['hmget'], ['hgetall'], ['hincrby'], ['del']])(
    'are needed for limits, which there are none without %s; all else goes on',
    async (command) => {
      const redis = await redisWith();
      const counting = later(await openRedis(redis.url), (each) => each.close());
      await eventually('all is counted', async () => (await counting.layer.usedBytes('n')) !== undefined);
      const rules = [...forServer.split(' ').slice(1), `-${command}`];
      await (await admin(redis.port)).send(['ACL', 'SETUSER', 'lacking', 'on', ...rules]);
      const { address, access } = parseRedisUrl(`redis://lacking:secret@127.0.0.1:${redis.port}`);
      const { server } = await open({ nodes: [address], access });
      const missing: string[] = [];
      const layer = new RedisLayer(server, new Announcer('cache-bus:0', 'other'), (names) => missing.push(...names));
      later(layer, (each) => each.close());
      const outcomes = await layer.applyMany([{ ...put('n:a'), limitBytes: 10 }, put('n:b'), put('n:a')]);
      expect(outcomes.map(({ status }) => status)).toEqual(['created', 'created', 'updated']);
      expect(await layer.usedBytes('n')).toBeUndefined();
      expect(missing).toEqual([command]);
    },
  );

  test('are enough for a cluster', async () => {
    const args = ['--user', 'cache', ...forServer.split(' '), ...forCluster.split(' ')];
    const cluster = later(await startRedisCluster({ args }), (it) => it.stop());
    const urls = cluster.nodes.map(({ port }) => `redis://cache:secret@127.0.0.1:${port}`);
    await useAll(await openCluster(urls.join(',')));
    for (const { port } of cluster.nodes) {
      await expect((await admin(port)).send(['ACL', 'LOG'])).resolves.toEqual([]);
    }
  });

  test('are enough to change a cluster that is in use', async () => {
    const rules = [forServer, forCluster, forChanges].flatMap((some) => some.split(' '));
    const cluster = later(await startRedisCluster({ args: ['--user', 'cache', ...rules] }), (it) => it.stop());
    const urls = cluster.nodes.map(({ port }) => `redis://cache:secret@127.0.0.1:${port}`).join(',');
    const { layer } = later(await openCluster(urls), (it) => it.close());
    const keys = Array.from({ length: 500 }, (_, index) => `n:${index}`);
    await layer.applyMany(keys.map(put));

    const { addresses: seeds, access } = parseClusterNodes(urls);
    const clusterAdmin = later(new ClusterAdmin({ access, seeds }), (it) => it.close());
    const added = await cluster.addNode();
    const wish = { address: local(added.port), role: 'auto' as const };
    const addition = await clusterAdmin.planAddition(wish, { masters: 4, copies: 2 });
    // A part of it will do: every step has been taken then.
    const enough = new AbortController();
    let slots = 0;
    const moved = () => {
      if (++slots === 500) enough.abort();
    };
    const changing = clusterAdmin.carryOut(
      addition,
      { began: () => undefined, planned: () => undefined, moved },
      enough.signal,
    );
    const isOver = changing.then(
      () => true,
      () => true,
    );
    do expect((await layer.getMany(keys)).every(Boolean)).toBe(true);
    while (!(await Promise.race([isOver, Promise.resolve(false)])));
    await expect(changing).rejects.toThrow('aborted');
    for (const { port } of cluster.nodes) {
      await expect((await admin(port)).send(['ACL', 'LOG'])).resolves.toEqual([]);
    }
  });

  test('are enough for Sentinels', async () => {
    const trio = later(await startSentinels(), (it) => it.stop());
    const ports = trio.sentinels.map(({ port }) => port);
    for (const port of ports) {
      await redisCommand(port, ['ACL', 'SETUSER', 'cache', ...forSentinels.split(' ')]);
      await redisCommand(port, ['ACL', 'SETUSER', 'default', 'off']);
    }
    const options = { nodes: ports.map(local), sentinelMaster: trio.masterName };
    await expect(create(options).server.connect()).rejects.toThrow(/^Sentinel .*NOAUTH/);
    const { server } = await open({ ...options, sentinelLogin: { username: 'cache', password: 'secret' } });
    await expect(server.send(['PING'])).resolves.toBe('PONG');
  });
});
