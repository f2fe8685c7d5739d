import { eventually } from '../../../tools/harness/eventually.mjs';
import { redisCommand } from '../../../tools/harness/redis-command.mjs';
import { startSentinels } from '../../../tools/harness/redis-sentinel.mjs';
import { findFreePort } from '../../../tools/harness/tied-process.mjs';
import { parseRedisAddress } from '../src/redis/address.js';
import { CommandNotRun, ReplyLost } from '../src/redis/errors.js';
import type { RedisServer } from '../src/redis/server.js';
import { create, later, local, open, redisWith } from './redis-support.js';

/** One whose replicas need not wait for others. */
const replicatedRedis = () => redisWith('--repl-diskless-sync-delay', '0');

describe('the master among several servers', () => {
  const roles = async (first: number, second: number) => {
    await redisCommand(second, ['REPLICAOF', '127.0.0.1', String(first)]);
    await eventually('the replica has the data', async () =>
      (await redisCommand(second, ['INFO', 'replication'])).includes('master_link_status:up'),
    );
  };

  test('is found wherever it stands in the list, also after the roles have changed', async () => {
    const [one, other] = [await replicatedRedis(), await replicatedRedis()];
    await roles(one.port, other.port);
    const down = local(await findFreePort());
    const { server, changes } = await open({ nodes: [down, local(other.port), local(one.port)] });
    await server.send(['SET', 'k', 'first']);
    await expect(redisCommand(one.port, ['GET', 'k'])).resolves.toBe('first');

    await redisCommand(other.port, ['REPLICAOF', 'NO', 'ONE']);
    await roles(other.port, one.port);
    const write = () => server.send(['SET', 'k', 'second']);
    await eventually('writes get to the new master', () =>
      write().then(
        () => true,
        (error: unknown) => {
          expect(error).toBeInstanceOf(CommandNotRun);
          return false;
        },
      ),
    );
    await expect(redisCommand(other.port, ['GET', 'k'])).resolves.toBe('second');
    expect(changes()).toBe(1);
  });

  test('is looked for again also while there are only reads', async () => {
    const [one, other] = [await replicatedRedis(), await replicatedRedis()];
    await roles(one.port, other.port);
    const { changes } = await open({ nodes: [local(one.port), local(other.port)] });
    await redisCommand(other.port, ['REPLICAOF', 'NO', 'ONE']);
    await roles(other.port, one.port);
    await eventually('the new master is found', () => changes() === 1);
  });

  test('is missing when all are replicas or down, which is said of each', async () => {
    const [one, other] = [await replicatedRedis(), await replicatedRedis()];
    await roles(one.port, other.port);
    await one.kill9();
    const { server } = create({ nodes: [local(one.port), local(other.port)] });
    await expect(server.connect()).rejects.toThrow(
      /ECONNREFUSED.*; 127.0.0.1:\d+: is a slave, not the master|is a slave, not the master; .*ECONNREFUSED/,
    );
  });
});

describe('the master that Sentinels name', () => {
  const withSentinels = async () => {
    const sentinels = later(await startSentinels({ downAfterMs: 1000 }), (it) => it.stop());
    const opened = create({
      nodes: sentinels.addresses.split(',').map(parseRedisAddress),
      sentinelMaster: sentinels.masterName,
    });
    return { ...opened, sentinels };
  };
  const writes = (server: RedisServer) => () =>
    server.send(['SET', 'k', 'v']).then(
      () => true,
      () => false,
    );

  test('is followed when it was killed', async () => {
    const { server, sentinels, connected, changes } = await withSentinels();
    await server.connect();
    await sentinels.master.kill9();
    await eventually('the loss is noticed', () => connected.includes(false));
    await eventually('another is used', writes(server), 15_000);
    expect(changes()).toBe(1);
    // The Sentinels that did not lead the failover hear of it a little later.
    const seen = () => sentinels.currentMaster().catch(() => sentinels.master);
    await eventually('all see the same', async () => (await seen()).port !== sentinels.master.port);
    await expect(redisCommand((await seen()).port, ['GET', 'k'])).resolves.toBe('v');
  });

  test('is followed when it was frozen, with a Sentinel gone, and left alone when it is back', async () => {
    const { server, sentinels, connected } = await withSentinels();
    await sentinels.sentinels[0]?.kill9();
    await server.connect();
    const states: boolean[] = [];
    await server.subscribe(
      'c',
      () => undefined,
      (state) => states.push(state),
    );
    sentinels.master.freeze();
    const stuck = server.send(['PING']);
    await expect(stuck).rejects.toBeInstanceOf(ReplyLost);
    await eventually('another is used', writes(server), 15_000);
    await eventually('the subscription has moved too', () => states.length === 3);
    sentinels.master.thaw();
    // For ten seconds or more the old one takes itself for the master still.
    await server.send(['SET', 'k', 'after']);
    await expect(redisCommand(sentinels.master.port, ['EXISTS', 'k'])).resolves.toBe('0');
    expect(connected).toEqual([true, false, true]);
  });

  test('is asked for under a name that they know', async () => {
    const { sentinels } = await withSentinels();
    const [first] = sentinels.sentinels;
    const { server } = create({ nodes: [local(first!.port)], sentinelMaster: 'other' });
    await expect(server.connect()).rejects.toThrow(
      `Sentinel 127.0.0.1:${first!.port}: ERR No such master with that name`,
    );
  });
});
