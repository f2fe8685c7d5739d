import {
  encodeFailures,
  type Outbox,
  type OutboxChange,
  type OutboxCounts,
  type OutboxPage,
  type OutboxRecord,
  type OutboxState,
  splitRecord,
} from '../outbox.js';
import { redisScript, type RedisScript } from '../redis/script.js';
import type { OutboxPlace } from './outbox-places.js';
import { readEntry, type ServerClock } from './redis-protocol.js';
import { CHANGE_OUTBOX_SCRIPT } from './redis-script.js';

/** A connection to the server that has a place. */
export interface OutboxServer {
  send<T>(command: readonly string[]): Promise<T>;
  run<T>(script: RedisScript, keys: readonly string[], args: readonly (string | Buffer)[]): Promise<T>;
  readonly clock: ServerClock;
}

/** The places that there are. A call that gets no answer may be repeated. */
export interface OutboxPlaces {
  readonly lookEveryMs: number;
  /** Names those in which there is something. */
  used(): Promise<readonly string[]>;
  at<T>(name: string, call: (server: OutboxServer, place: OutboxPlace) => Promise<T>): Promise<T>;
  nameFor(key: string): string;
  /** One on each server. */
  onServers(): readonly string[];
}

/** A member of a sorted set, and its score. */
type Scored = readonly [Buffer, number];

const CHANGE = redisScript(CHANGE_OUTBOX_SCRIPT);
const CURSOR = /^(\d{1,16}):(\d{1,9})$/;

/** The outbox of the Redis layers: what a place has is changed in one step with the entries beside it. */
export class RedisOutbox implements Outbox {
  constructor(private readonly places: OutboxPlaces) {}

  get lookEveryMs(): number {
    return this.places.lookEveryMs;
  }

  /** A server that makes room by evicting whatever it likes may evict the outbox, which never expires. */
  async risk(): Promise<string | undefined> {
    const policies = await Promise.all(
      this.places.onServers().map((name) =>
        this.places.at(name, async (server) => {
          const memory = (await server.send<Buffer>(['INFO', 'memory'])).toString();
          const isLimited = !/^maxmemory:0\s*$/m.test(memory);
          return isLimited ? (/^maxmemory_policy:(allkeys-\S+)/m.exec(memory)?.[1] ?? []) : [];
        }),
      ),
    );
    const [policy] = policies.flat();
    return policy && `maxmemory-policy is ${policy}: Redis may evict writes that no source has yet`;
  }

  parts(): Promise<readonly string[]> {
    return this.places.used();
  }

  /** Those that were noted in the same millisecond are told apart by how many of them there were before. */
  list(part: string, state: OutboxState, cursor: string | undefined, limit: number): Promise<OutboxPage> {
    return this.places.at(part, async (server, place) => {
      const [, from = '-inf', skip = '0'] = CURSOR.exec(cursor ?? '') ?? [];
      const range = ['ZRANGE', place[state], from, '+inf', 'BYSCORE', 'LIMIT', skip, String(limit), 'WITHSCORES'];
      const listed = await server.send<Scored[]>(range);
      const keys = listed.map(([key]) => key.toString());
      if (keys.length === 0) return { records: [], cursor: undefined };
      const found = await server.send<(Buffer | null)[]>(['HMGET', place.records, ...keys]);
      const records = keys.map((key, index) =>
        readRecord(key, found[index] ?? null, state, listed[index]?.[1] ?? 0, server.clock),
      );
      const last = listed.at(-1)?.[1] ?? 0;
      const same = listed.filter(([, score]) => score === last).length + (String(last) === from ? Number(skip) : 0);
      return {
        records: records.filter((record) => record !== undefined),
        cursor: keys.length < limit ? undefined : `${last}:${same}`,
      };
    });
  }

  counts(part: string): Promise<OutboxCounts> {
    return this.places.at(part, async (server, place) => {
      const [waiting, dead, oldest] = await Promise.all([
        server.send<number>(['ZCARD', place.waiting]),
        server.send<number>(['ZCARD', place.dead]),
        server.send<Scored[]>(['ZRANGE', place.waiting, '0', '0', 'WITHSCORES']),
      ]);
      return { waiting, dead, oldestWaitingMs: oldest[0] && server.clock.toOwn(oldest[0][1]) };
    });
  }

  find(key: string): Promise<OutboxRecord | undefined> {
    return this.places.at(this.places.nameFor(key), async (server, place) => {
      const [bytes, waiting, dead] = await Promise.all([
        server.send<Buffer | null>(['HGET', place.records, key]),
        server.send<number | null>(['ZSCORE', place.waiting, key]),
        server.send<number | null>(['ZSCORE', place.dead, key]),
      ]);
      const state = waiting === null && dead !== null ? 'dead' : 'waiting';
      return readRecord(key, bytes, state, waiting ?? dead ?? 0, server.clock);
    });
  }

  change(key: string, version: number, change: OutboxChange): Promise<boolean> {
    return this.places.at(this.places.nameFor(key), async (server, place) => {
      const failures = change.to === 'gone' ? '' : encodeFailures(change.failures);
      const args = [key, String(version), change.to, failures];
      return (await server.run<number>(CHANGE, [place.records, place.waiting, place.dead], args)) === 1;
    });
  }
}

function readRecord(
  key: string,
  bytes: Buffer | null,
  state: OutboxState,
  sinceMs: number,
  clock: ServerClock,
): OutboxRecord | undefined {
  if (bytes === null) return undefined;
  const { failures, entry: stored } = splitRecord(bytes);
  const entry = readEntry(stored, clock);
  return entry && { key, entry, state, sinceMs: clock.toOwn(sinceMs), failures };
}
