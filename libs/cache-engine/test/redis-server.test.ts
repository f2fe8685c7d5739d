import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { findCommand } from '../../../tools/harness/installed.mjs';
import { redisCommand } from '../../../tools/harness/redis-command.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { startTcpProxy } from '../../../tools/harness/tcp-proxy.mjs';
import { createTemporaryFolder, findFreePort } from '../../../tools/harness/tied-process.mjs';
import { parseRedisUrl, type RedisTls } from '../src/redis/address.js';
import { CannotConnect, CommandNotRun, ReplyLost } from '../src/redis/errors.js';
import { redisScript } from '../src/redis/script.js';
import type { RedisServer } from '../src/redis/server.js';
import { create, later, local, open, redisWith, works } from './redis-support.js';

const text = async (answer: Promise<Buffer | null>) => (await answer)?.toString();

describe('a Redis server', () => {
  test('answers with bytes, in the database that was named', async () => {
    const redis = await redisWith();
    const { server, connected } = await open({ nodes: [local(redis.port)], access: { database: 3 } });
    const bytes = Buffer.from([0, 255, 13, 10]);
    await server.send(['SET', 'k', bytes]);
    await expect(server.send(['GET', 'k'])).resolves.toEqual(bytes);
    await expect(server.send(['MGET', 'k', 'none'])).resolves.toEqual([bytes, null]);
    await expect(redisCommand(redis.port, ['DBSIZE'])).resolves.toBe('0');
    await expect(server.send(['NO-SUCH-COMMAND'])).rejects.toThrow(/unknown command/);
    expect(connected).toEqual([true]);
    expect(server.connections).toEqual({ active: 1, max: 10 });
  });

  test('that is not there is said so, and found once it is', async () => {
    const port = await findFreePort();
    const { server, connected } = create({ nodes: [local(port)] });
    await expect(server.connect()).rejects.toThrow(new RegExp(`^127\\.0\\.0\\.1:${port}: connect ECONNREFUSED`));
    await expect(server.send(['PING'])).rejects.toBeInstanceOf(CommandNotRun);
    later(await startRedis({ port }), (redis) => redis.stop());
    await eventually('it is found', works(server));
    expect(connected).toEqual([true]);
  });

  test('that says nothing is given up after two seconds', async () => {
    const redis = await redisWith();
    redis.freeze();
    const startedAt = performance.now();
    await expect(create({ nodes: [local(redis.port)] }).server.connect()).rejects.toThrow(/no answer within 2000 ms/);
    expect(performance.now() - startedAt).toBeLessThan(4000);
  });

  test('lets in a user of its ACL with the right password only', async () => {
    const redis = await redisWith('--user', 'cache', 'on', '>secret', '~*', '+@all', '--user', 'default', 'off');
    const nodes = [local(redis.port)];
    const { server } = await open({ nodes, access: { username: 'cache', password: 'secret', database: 0 } });
    await expect(text(server.send(['ACL', 'WHOAMI']))).resolves.toBe('cache');
    for (const access of [{ database: 0 }, { username: 'cache', password: 'wrong', database: 0 }]) {
      await expect(create({ nodes, access }).server.connect()).rejects.toThrow(/: (NOAUTH|WRONGPASS)/);
    }
  });

  test('that restarts is used again, with commands failing at once meanwhile', async () => {
    const redis = await redisWith();
    const { server, connected, changes } = await open({ nodes: [local(redis.port)] });
    await redis.kill9();
    await eventually('the loss is noticed', () => connected.includes(false));
    const startedAt = performance.now();
    await expect(server.send(['PING'])).rejects.toBeInstanceOf(CommandNotRun);
    expect(performance.now() - startedAt).toBeLessThan(1500);
    later(await startRedis({ port: redis.port }), (again) => again.stop());
    await eventually('it is used again', works(server));
    expect(connected).toEqual([true, false, true]);
    expect(changes()).toBe(1);
  });

  test('is the same as before when only the connection was lost', async () => {
    const redis = await redisWith();
    const { server, connected, changes } = await open({ nodes: [local(redis.port)] });
    await redisCommand(redis.port, ['CLIENT', 'KILL', 'TYPE', 'normal']);
    await eventually('the loss is noticed', () => connected.length === 3);
    await eventually('it is used again', works(server));
    expect(changes()).toBe(0);
  });

  test('is not sent again what it may have got already', async () => {
    const redis = await redisWith();
    const proxy = later(await startTcpProxy(redis.port), (it) => it.stop());
    const { server } = await open({ nodes: [local(proxy.port)] });
    proxy.stall();
    const increments = Promise.allSettled([1, 2, 3].map(() => server.send(['INCR', 'n'])));
    proxy.reset();
    for (const result of await increments) expect(result).toMatchObject({ reason: expect.any(ReplyLost) as Error });
    await proxy.pass();
    await eventually('it is used again', works(server));
    await expect(server.send(['GET', 'n'])).resolves.toBeNull();
  });

  test('that is frozen is not waited for on the same connection for ever', async () => {
    const redis = await redisWith();
    const { server, connected, reasons } = await open({ nodes: [local(redis.port)] });
    redis.freeze();
    await expect(server.send(['PING'])).rejects.toBeInstanceOf(ReplyLost);
    await eventually('the loss is told', () => connected.length === 2);
    expect(reasons).toEqual(['no reply for 3000 ms']);
    redis.thaw();
    await eventually('it is used again', works(server));
  });

  test('runs scripts that it does not know yet or any more, each sent to it once', async () => {
    const redis = await redisWith();
    const { server } = await open({ nodes: [local(redis.port)] });
    const script = redisScript(`return {KEYS[1], ARGV[1], redis.call('INCR', KEYS[1])}`);
    const runs = await Promise.all(Array.from({ length: 20 }, () => server.run<unknown[]>(script, ['n'], ['a'])));
    expect(runs.map(([, , count]) => count)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect(runs[0]).toEqual([Buffer.from('n'), Buffer.from('a'), 1]);
    const stats = await redisCommand(redis.port, ['INFO', 'commandstats']);
    expect(stats).toMatch(/cmdstat_script\|load:calls=1,/);
    expect(stats).not.toContain('cmdstat_eval:');

    await redisCommand(redis.port, ['SCRIPT', 'FLUSH']);
    await expect(server.run(script, ['n'], ['b'])).resolves.toEqual([Buffer.from('n'), Buffer.from('b'), 21]);
    await expect(server.run(redisScript(`return redis.error_reply('NO way')`), [], [])).rejects.toThrow('NO way');
  });

  test.each([
    [1, 1],
    [3, 3],
  ])('is connected to more than once only under load, and %i times at most', async (maxConnections, expected) => {
    const redis = await redisWith();
    const { server } = await open({ nodes: [local(redis.port)], maxConnections });
    for (let count = 0; count < 20; count++) await server.send(['PING']);
    expect(server.connections.active).toBe(1);
    let most = 0;
    const load = Array.from({ length: 200 }, async () => {
      for (let count = 0; count < 100; count++) {
        await server.send(['SET', 'k', 'v']);
        most = Math.max(most, server.connections.active);
      }
    });
    await Promise.all(load);
    expect(most).toBe(expected);
    const clients = await redisCommand(redis.port, ['CLIENT', 'LIST']);
    expect(clients.match(/name=cache-system/g)).toHaveLength(expected);
  });

  test('lends connections of their own, and keeps callers waiting rather than going beyond the limit', async () => {
    const redis = await redisWith();
    const { server } = await open({ nodes: [local(redis.port)], maxConnections: 2 });
    const id = async () => {
      const connection = await server.dedicated();
      const [, clientId] = await Promise.all([
        connection.send(['BLPOP', 'nothing', '0.05']),
        connection.send<number>(['CLIENT', 'ID']),
      ]);
      connection.release();
      return clientId;
    };
    const ids = await Promise.all([id(), id(), id()]);
    expect(new Set(ids).size).toBe(1);
    expect(ids).not.toContain(await server.send(['CLIENT', 'ID']));
    expect(server.connections).toEqual({ active: 2, max: 2 });
  });
});

describe('a subscription', () => {
  const subscribed = async (server: RedisServer) => {
    const [messages, states]: [string[], boolean[]] = [[], []];
    const subscription = await server.subscribe(
      'news',
      (message) => messages.push(message.toString()),
      (state) => states.push(state),
    );
    return { messages, states, subscription };
  };

  test('brings the messages in order', async () => {
    const redis = await redisWith();
    const { server } = await open({ nodes: [local(redis.port)], maxConnections: 1 });
    const { messages, states, subscription } = await subscribed(server);
    expect(states).toEqual([true]);
    const numbers = Array.from({ length: 2000 }, (_, index) => String(index));
    await Promise.all(numbers.map((number) => server.send(['PUBLISH', 'news', number])));
    await eventually('all have come', () => messages.length === numbers.length);
    expect(messages).toEqual(numbers);

    await subscription.close();
    await expect(server.send(['PUBLISH', 'news', 'unheard'])).resolves.toBe(0);
    expect(states).toEqual([true]);
  });

  test('comes back by itself, and says for how long it was not there', async () => {
    const redis = await redisWith();
    const { server, connected } = await open({ nodes: [local(redis.port)] });
    const { messages, states } = await subscribed(server);
    await redisCommand(redis.port, ['CLIENT', 'KILL', 'TYPE', 'pubsub']);
    await eventually('it is back', () => states.length === 3);
    expect(states).toEqual([true, false, true]);
    await server.send(['PUBLISH', 'news', 'heard']);
    await eventually('the message has come', () => messages.includes('heard'));
    expect(connected).toEqual([true]);
  });

  test('is one to the server that restarted', async () => {
    const redis = await redisWith();
    const { server } = await open({ nodes: [local(redis.port)] });
    const { messages, states } = await subscribed(server);
    await redis.kill9();
    await eventually('the loss is noticed', () => states.includes(false));
    later(await startRedis({ port: redis.port }), (again) => again.stop());
    await eventually('it is back', () => states.length === 3);
    await server.send(['PUBLISH', 'news', 'heard']);
    await eventually('the message has come', () => messages.includes('heard'));
  });
});

describe('TLS', () => {
  /** A certificate authority, and certificates by it. */
  function makeCertificates(): { files: Record<'ca' | 'cert' | 'key', string>; tls: Required<RedisTls> } {
    const folder = later(createTemporaryFolder('tls'), ({ remove }) => remove());
    const at = (name: string) => path.join(folder.path, name);
    const openssl = (...args: string[]) => execFileSync(findCommand('openssl') ?? '', args, { stdio: 'ignore' });
    const newKey = (name: string) => [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      at(name),
    ];
    openssl('req', '-x509', ...newKey('ca.key'), '-subj', '/CN=test authority', '-out', at('ca.pem'));
    openssl(
      'req',
      ...newKey('own.key'),
      '-subj',
      '/CN=cache',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
      '-out',
      at('csr'),
    );
    const signedBy = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial'];
    openssl('x509', '-req', '-in', at('csr'), ...signedBy, '-copy_extensions', 'copy', '-out', at('own.pem'));
    const files = { ca: at('ca.pem'), cert: at('own.pem'), key: at('own.key') };
    const [ca, cert, key] = [files.ca, files.cert, files.key].map((file) => readFileSync(file, 'utf8'));
    return { files, tls: { ca: ca!, cert: cert!, key: key! } };
  }

  test('is used, with both sides verified', async () => {
    const { files, tls } = makeCertificates();
    const port = await findFreePort();
    const { ca, cert, key } = files;
    await redisWith(
      '--tls-port',
      String(port),
      '--tls-ca-cert-file',
      ca,
      '--tls-cert-file',
      cert,
      '--tls-key-file',
      key,
    );
    const { address, access } = parseRedisUrl(`rediss://127.0.0.1:${port}`);
    const connectWith = async (given: RedisTls) => {
      const { server } = await open({ nodes: [address], access: { ...access, tls: given } });
      return server.send(['PING']);
    };
    await expect(connectWith(tls)).resolves.toBe('PONG');
    await expect(connectWith({})).rejects.toThrow(/self.signed certificate|unable to (get|verify)/);
    await expect(connectWith({ ...tls, ca: makeCertificates().tls.ca })).rejects.toThrow(/certificate/);
    await expect(connectWith({ ca: tls.ca })).rejects.toBeInstanceOf(CannotConnect);
  });
});
