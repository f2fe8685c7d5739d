import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { RedisServer, type RedisServerOptions } from '../src/redis/server.js';

export const local = (port: number) => ({ host: '127.0.0.1', port });

const cleanups: (() => unknown)[] = [];
export const later = <T>(thing: T, cleanUp: (thing: T) => unknown): T => {
  cleanups.push(() => cleanUp(thing));
  return thing;
};
afterEach(async () => {
  for (const cleanUp of cleanups.splice(0).reverse()) await cleanUp();
});

export const redisWith = async (...args: string[]) => later(await startRedis({ args }), (redis) => redis.stop());

interface Opened {
  readonly server: RedisServer;
  /** What `onConnection` was told. */
  readonly connected: boolean[];
  readonly reasons: string[];
  readonly changes: () => number;
}

export function create(options: Partial<RedisServerOptions> & Pick<RedisServerOptions, 'nodes'>): Opened {
  const [connected, reasons]: [boolean[], string[]] = [[], []];
  let changes = 0;
  const server = new RedisServer({
    access: { database: 0 },
    maxConnections: 10,
    onConnection: (isConnected, reason) => {
      connected.push(isConnected);
      if (reason) reasons.push(reason.message);
    },
    ...options,
  });
  server.onServerChange(() => changes++);
  later(server, () => server.close());
  return { server, connected, reasons, changes: () => changes };
}

export async function open(options: Partial<RedisServerOptions> & Pick<RedisServerOptions, 'nodes'>): Promise<Opened> {
  const opened = create(options);
  await opened.server.connect();
  return opened;
}

export const works = (server: RedisServer) => () =>
  server.send(['PING']).then(
    () => true,
    () => false,
  );
