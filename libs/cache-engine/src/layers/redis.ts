import type { Announcer } from '../backplane/announcer.js';
import { encodeEntry, type Entry, HEADER, readEpoch } from '../entry.js';
import type { Copy, CopyLayer, CopyOutcome, Page, Layer } from '../layer.js';
import type { Mutation, Outcome } from '../mutation.js';
import type { Outbox } from '../outbox.js';
import { redisScript } from '../redis/script.js';
import type { RedisServer } from '../redis/server.js';
import {
  isNoted,
  layerError,
  prefixPattern,
  pushArguments,
  readEntry,
  readHead,
  readOutcomes,
  redisKey,
  ServerClock,
  wasRefused,
  requirePosition,
} from './redis-protocol.js';
import { namesOf, ONE_PLACE } from './outbox-places.js';
import { type OutboxPlaces, RedisOutbox } from './redis-outbox.js';
import { evictedOf, Recount, SPACE_PLACE } from './redis-recount.js';
import { APPLY_SCRIPT, COPY_SCRIPT } from './redis-script.js';
import { USED_SCRIPT, VISIT_SCRIPT } from './redis-space-script.js';
import { SpaceRights } from './space-rights.js';

const APPLY = redisScript(APPLY_SCRIPT);
const COPY = redisScript(COPY_SCRIPT);
const VISIT = redisScript(VISIT_SCRIPT);
const USED = redisScript(USED_SCRIPT);
const SPACE_HEAD = ['', '', SPACE_PLACE, ''] as const;
/** In place of the place: nothing is counted then. */
const NOT_COUNTED = '';
const ALL = 'all';

/** Entries in a Redis server that all nodes share. Commands fail at once while there is no connection. */
export class RedisLayer implements Layer, CopyLayer {
  readonly outbox: Outbox;
  private readonly clock = new ServerClock();
  private readonly rights: SpaceRights;
  private readonly recount: Recount | undefined;

  /**
   * @param announcer tells the other nodes of every change; none where another layer does
   * @param onMissingRights is told once which commands the user may not run, without which no namespace has a limit
   */
  constructor(
    private readonly server: RedisServer,
    private readonly announcer?: Announcer,
    onMissingRights?: (commands: readonly string[]) => void,
  ) {
    this.rights = new SpaceRights((_, command) => server.send(command), onMissingRights);
    this.clock.follow((args) => server.send(args));
    const at: OutboxPlaces['at'] = (_, call) =>
      call(
        {
          send: (command) => server.send(command),
          run: (script, keys, args) => server.run(script, keys, args),
          clock: this.clock,
        },
        ONE_PLACE,
      );
    const used = async () => ((await server.send<number>(['EXISTS', ONE_PLACE.records])) === 1 ? [ALL] : []);
    this.outbox = new RedisOutbox({ lookEveryMs: 1000, used, at, nameFor: () => ALL, onServers: () => [ALL] });
    // What holds copies decides nothing: neither does it count.
    this.recount = announcer && this.counting();
  }

  async getMany(keys: readonly string[]): Promise<readonly (Entry | undefined)[]> {
    const values = await this.server.send<(Buffer | null)[]>(['MGET', ...keys.map(redisKey)]);
    return values.map((bytes) => readEntry(bytes, this.clock));
  }

  async applyMany(mutations: readonly Mutation[]): Promise<readonly Outcome[]> {
    const isCounted = this.announcer !== undefined && (this.rights.granted ?? (await this.rights.ask()));
    const sequence = this.announcer?.begin();
    const args: (string | Buffer)[] =
      sequence === undefined ? ['', ''] : [this.announcer?.channel ?? '', this.announcer?.head(sequence) ?? ''];
    args.push(isCounted ? SPACE_PLACE : NOT_COUNTED, '');
    for (const mutation of mutations) pushArguments(args, mutation);
    const keys = mutations.map(({ key }) => redisKey(key));
    if (mutations.some(isNoted)) keys.push(...namesOf(ONE_PLACE));
    const sentAtMs = Date.now();
    try {
      const reply = await this.server.run<number[]>(APPLY, keys, args);
      if (sequence !== undefined) this.announcer?.settle(sequence, 'sent');
      this.clock.note(reply.at(-1) ?? sentAtMs, sentAtMs);
      return readOutcomes(reply, mutations, this.clock);
    } catch (error) {
      if (sequence !== undefined) this.announcer?.settle(sequence, wasRefused(error) ? 'never' : 'unknown');
      throw layerError(error);
    }
  }

  async usedBytes(namespace: string): Promise<number | undefined> {
    if (!(await this.rights.ask())) return undefined;
    const bytes = await this.server.run<number>(USED, [redisKey(`${namespace}:`)], [...SPACE_HEAD]);
    return bytes < 0 ? undefined : bytes;
  }

  async getCopies(keys: readonly string[], epoch: number): Promise<readonly (Entry | undefined)[]> {
    const values = await this.server.send<(Buffer | null)[]>(['MGET', ...keys.map(redisKey)]);
    return values.map((bytes) => {
      if (bytes === null || bytes.length < HEADER.bytes || readEpoch(bytes) !== epoch) return undefined;
      return readEntry(bytes, this.clock);
    });
  }

  async copyMany(copies: readonly Copy[]): Promise<readonly CopyOutcome[]> {
    const args = copies.flatMap(({ entry, revision, epoch, ttlMs, notAfterMs = 0 }) => [
      String(ttlMs),
      String(Math.round(this.clock.toServer(notAfterMs))),
      entry
        ? encodeEntry(entry, { ...entry, expiresAtMs: this.clock.toServer(entry.expiresAtMs) }, epoch)
        : absent(revision, epoch),
    ]);
    try {
      const reply = await this.server.run<number[]>(
        COPY,
        copies.map(({ key }) => redisKey(key)),
        args,
      );
      return copies.map((_, index) => ({ stored: reply[index * 2] === 1, present: reply[index * 2 + 1] === 1 }));
    } catch (error) {
      throw layerError(error);
    }
  }

  async scan(prefix: string, cursor: string | undefined, limit: number): Promise<Page> {
    requirePosition(cursor);
    const [next, found] = await this.server.send<[Buffer, Buffer[]]>([
      'SCAN',
      cursor ?? '0',
      'MATCH',
      prefixPattern(prefix),
      'COUNT',
      String(limit),
      'TYPE',
      'string',
    ]);
    const heads = await Promise.all(
      found.map((key) => readHead(key, (command) => this.server.send(command), this.clock)),
    );
    return {
      heads: heads.filter((head) => head !== undefined),
      cursor: next.toString() === '0' ? undefined : next.toString(),
    };
  }

  async check(): Promise<void> {
    await this.server.send(['PING']);
  }

  async close(): Promise<void> {
    this.clock.stop();
    await this.recount?.close();
    await this.server.close();
  }

  private counting(): Recount {
    const { server } = this;
    const recount = new Recount({
      mayCount: () => this.rights.ask(),
      send: (_, command) => server.send(command),
      run: (script, key, args) => server.run(script, [key], args),
      walks: () => [
        (position, count) => server.send(['SCAN', position, 'MATCH', prefixPattern(''), 'COUNT', String(count)]),
      ],
      visit: async (keys) => {
        if (keys.length > 0) await server.run(VISIT, keys, [...SPACE_HEAD]);
      },
      evictedKeys: async () => evictedOf(String(await server.send(['INFO', 'stats']))),
      ready: () => Promise.resolve(),
    });
    server.onServerChange(() => recount.doubt());
    return recount;
  }
}

function absent(revision: number, epoch: number): Buffer {
  const bytes = Buffer.alloc(HEADER.bytes);
  bytes[0] = HEADER.layout;
  bytes[HEADER.offsets.format] = HEADER.absent;
  bytes.writeUInt32BE(HEADER.bytes, HEADER.offsets.length);
  bytes.writeDoubleBE(revision, HEADER.offsets.revision);
  bytes.writeDoubleBE(epoch, HEADER.offsets.epoch);
  return bytes;
}
