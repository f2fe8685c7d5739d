import {
  type DuePage,
  encodeFailures,
  type Outbox,
  type OutboxChange,
  type OutboxCounts,
  type OutboxPage,
  type OutboxRecord,
  type OutboxState,
  readItem,
  splitRecord,
} from '../outbox.js';
import { redisScript, type RedisScript } from '../redis/script.js';
import { namesOf, type OutboxPlace } from './outbox-places.js';
import { readEntry, type ServerClock } from './redis-protocol.js';
import { CHANGE_OUTBOX_SCRIPT, LIST_OUTBOX_SCRIPT } from './redis-script.js';

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
const LIST = redisScript(LIST_OUTBOX_SCRIPT);
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

  due(part: string, cursor: string | undefined, limit: number): Promise<DuePage> {
    return this.places.at(part, async (server, { due }) => {
      const { from, skip } = readCursor(cursor);
      const now = String(Math.round(server.clock.toServer(Date.now())));
      const range = ['ZRANGE', due, from, now, 'BYSCORE', 'LIMIT', String(skip), String(limit), 'WITHSCORES'];
      const listed = await server.send<Scored[]>(range);
      const keys = listed.map(([key]) => key.toString());
      return {
        keys,
        cursor: nextCursor(
          cursor,
          listed.map(([, score]) => score),
          limit,
        ),
      };
    });
  }

  list(part: string, state: OutboxState, cursor: string | undefined, limit: number): Promise<OutboxPage> {
    return this.places.at(part, async (server, place) => {
      const { from, skip } = readCursor(cursor);
      const args = [from, String(skip), String(limit)];
      const listed = await server.run<[Buffer, Buffer, Buffer, number][]>(LIST, [place.records, place[state]], args);
      const scores = listed.map(([, score]) => Number(score.toString()));
      const items = listed.map(([key, , start, bytes], index) => {
        const item = readItem(key.toString(), start, bytes, server.clock.toOwn(scores[index] ?? 0));
        return item && { ...item, writtenAtMs: server.clock.toOwn(item.writtenAtMs) };
      });
      return { items: items.filter((item) => item !== undefined), cursor: nextCursor(cursor, scores, limit) };
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
      const [bytes, dead] = await Promise.all([
        server.send<Buffer | null>(['HGET', place.records, key]),
        server.send<number | null>(['ZSCORE', place.dead, key]),
      ]);
      if (bytes === null) return undefined;
      const { failures, entry: stored } = splitRecord(bytes);
      const entry = readEntry(stored, server.clock);
      return entry && { key, entry, state: dead === null ? 'waiting' : 'dead', failures };
    });
  }

  change(key: string, version: number, change: OutboxChange): Promise<boolean> {
    return this.places.at(this.places.nameFor(key), async (server, place) => {
      const failures = change.to === 'gone' ? '' : encodeFailures(change.failures);
      const dueAtMs = change.to === 'waiting' ? Math.round(server.clock.toServer(change.failures.dueAtMs)) : 0;
      const args = [key, String(version), change.to, failures, String(dueAtMs)];
      return (await server.run<number>(CHANGE, namesOf(place), args)) === 1;
    });
  }
}

/** Those with the same score are told apart by how many of them there were before. */
function readCursor(cursor: string | undefined): { readonly from: string; readonly skip: number } {
  const [, from = '-inf', skip = '0'] = CURSOR.exec(cursor ?? '') ?? [];
  return { from, skip: Number(skip) };
}

function nextCursor(cursor: string | undefined, scores: readonly number[], limit: number): string | undefined {
  const last = scores.at(-1);
  if (last === undefined || scores.length < limit) return undefined;
  const { from, skip } = readCursor(cursor);
  return `${last}:${scores.filter((score) => score === last).length + (String(last) === from ? skip : 0)}`;
}
