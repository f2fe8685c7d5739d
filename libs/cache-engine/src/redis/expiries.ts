import { ErrorReply } from 'redis';
import { ownKeyOf } from '../layers/redis-protocol.js';
import type { RedisServer } from './server.js';

const LOOK_INTERVAL_MS = 1000;
/** Of keys that are known to hold no entry; the oldest is forgotten first. */
const MAX_ABSENT = 100_000;
const SETTING = 'notify-keyspace-events';

interface ExpiryListener {
  expired(key: string): void;
  /** Some may not have been heard of, up to now. Also told of each server when it is first heard. */
  missed(): void;
  /** A server does not let its setting be read or changed: whether it tells of expiries is up to its operator. */
  refused(error: Error): void;
}

/**
 * Hears of entries that end with their ttl from the servers themselves (Redis, "Keyspace notifications"), each of which
 * tells of its own keys only. Switches that on where it is off, and leaves it on.
 *
 * What remembers that a key has no entry expires like one: who uses this says of which keys it knows that.
 */
export class Expiries {
  private readonly followed = new Map<RedisServer, { isHeard: Promise<void>; close: () => void }>();
  /** Those of which it is not known whether they tell of anything. */
  private readonly unsettled = new Set<RedisServer>();
  private readonly absent = new Set<string>();
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly masters: () => readonly RedisServer[],
    private readonly listener: ExpiryListener,
  ) {
    this.look();
    this.timer = setInterval(() => {
      for (const server of this.unsettled) void this.settle(server);
      this.look();
    }, LOOK_INTERVAL_MS).unref();
  }

  /** Resolves when all servers that there are now are listened to. */
  async ready(): Promise<void> {
    await Promise.all([...this.followed.values()].map(({ isHeard }) => isHeard));
  }

  noteAbsent(key: string): void {
    this.absent.add(key);
    if (this.absent.size <= MAX_ABSENT) return;
    const [oldest = ''] = this.absent;
    this.absent.delete(oldest);
  }

  notePresent(key: string): void {
    this.absent.delete(key);
  }

  /** What is known of keys may not be so any more. */
  forget(): void {
    this.absent.clear();
  }

  stop(): void {
    clearInterval(this.timer);
    for (const { close } of this.followed.values()) close();
    this.followed.clear();
  }

  private look(): void {
    const masters = this.masters();
    for (const [server, { close }] of this.followed) {
      if (masters.includes(server)) continue;
      close();
      this.followed.delete(server);
      this.unsettled.delete(server);
    }
    for (const server of masters) if (!this.followed.has(server)) this.followed.set(server, this.follow(server));
  }

  private follow(server: RedisServer) {
    let settled: Promise<void> | undefined;
    const { subscribed, close } = server.listen(
      `__keyevent@${server.database}__:expired`,
      (message) => {
        const key = ownKeyOf(message);
        if (key !== undefined && !this.absent.delete(key)) this.listener.expired(key);
      },
      (isSubscribed) => {
        // Each time: after a restart, and on a replica that was promoted, it may be off.
        if (isSubscribed) settled = this.settle(server);
      },
    );
    return { isHeard: subscribed.then(() => settled).catch(() => undefined), close };
  }

  private async settle(server: RedisServer): Promise<void> {
    this.unsettled.add(server);
    try {
      await switchOn(server);
    } catch (error) {
      // One that cannot be reached is asked again.
      if (!(error instanceof ErrorReply)) return;
      this.listener.refused(error);
    }
    // Not before it tells of them: who looks at everything now must hear of what ends from then on.
    if (this.unsettled.delete(server)) this.listener.missed();
  }
}

async function switchOn(server: RedisServer): Promise<void> {
  const settings = await server.send<Record<string, Buffer>>(['CONFIG', 'GET', SETTING]);
  const flags = settings[SETTING]?.toString() ?? '';
  if (flags.includes('E') && /[Ax]/.test(flags)) return;
  await server.send(['CONFIG', 'SET', SETTING, `${flags}Ex`]);
}
