import {
  Cache,
  type Condition,
  ConditionFailed,
  type Entry,
  KeyNotFound,
  refreshKey,
} from '@cache-system/cache-engine';
import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { caller } from '../auth/caller.js';
import { InsufficientPermissions, InvalidRequest } from '../platform/http/api-error.js';
import { preferences } from '../platform/http/prefer.js';
import { CacheKeyNotFound } from './cache-errors.js';
import type { CacheKey } from './cache-key.js';
import { KeyChanges } from './key-changes.js';
import type { ReadRecord } from './read-record.js';
import { type Answer, type ReadWish, SourceReads, staleAnswer } from './source-reads.js';

/** Who holds a lease may die with it, which nobody tells of. */
const LOOK_AGAIN_MS = 250;
/** Above this a request would be ended by its own timeout. */
const MAX_WAIT_SECONDS = 25;
/** The revision under which it was given, and the version of the stale entry that is to be replaced. */
const TOKEN = /^(\d{1,16})(?:\.(\d{1,16}))?$/;

/**
 * Leases for callers that fill the cache themselves: of those that miss a key together one gets the right to fill it, and
 * what happens to the key meanwhile ends that right (Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013,
 * section 3.2.1).
 */
@Injectable()
export class Leases {
  constructor(
    private readonly cache: Cache,
    private readonly reads: SourceReads,
    private readonly changes: KeyChanges,
  ) {}

  /**
   * Answers a read that has missed: the stale entry, or what somebody else fills within the time that the caller waits.
   * @throws CacheKeyNotFound with the lease, or with the time to come again
   */
  async answer(
    request: FastifyRequest,
    key: CacheKey,
    missed: KeyNotFound,
    wish: ReadWish,
    leaseSeconds: number,
    record?: ReadRecord,
  ): Promise<Answer> {
    requireWriter(request);
    const giveUpAtMs = performance.now() + waitMs(request);
    let miss = missed;
    for (;;) {
      const change = this.changes.next(key.full);
      try {
        const { stale } = miss;
        const leased = stale ? refreshKey(key.full) : key.full;
        const outcome = await this.cache.lease({ kind: 'lease', key: leased, leaseMs: leaseSeconds * 1000 });
        if (outcome.status === 'leased') {
          record?.noteLease({ state: 'granted', endsAtMs: Date.now() + leaseSeconds * 1000 });
          const token = stale ? `${outcome.revision}.${stale.version}` : String(outcome.revision);
          throw new CacheKeyNotFound(key.name, miss, { 'X-Cache-Lease': token });
        }
        if (outcome.status === 'taken') record?.noteLease({ state: 'taken', endsAtMs: outcome.leaseEndsMs });
        if (stale) {
          if (record) record.staleReason = 'somebody else has the lease to fill the key';
          return staleAnswer(stale, miss);
        }
        const leftMs = giveUpAtMs - performance.now();
        if (leftMs <= 0) throw new CacheKeyNotFound(key.name, miss, { 'Retry-After': '1' });
        if (outcome.status === 'taken') await change.within(Math.min(leftMs, LOOK_AGAIN_MS));
        record?.layers.again();
        return await this.reads.load(key, wish, record);
      } catch (error) {
        if (!(error instanceof KeyNotFound)) throw error;
        miss = error;
      } finally {
        change.cancel();
      }
    }
  }

  /**
   * What must hold for a write under a lease. Undefined where there is none.
   * @throws InvalidRequest, ConditionFailed
   */
  async condition(request: FastifyRequest, key: CacheKey): Promise<Condition | undefined> {
    const token = request.headers['x-cache-lease'];
    if (token === undefined) return undefined;
    const [, revision, version] = (typeof token === 'string' ? TOKEN.exec(token) : undefined) ?? [];
    if (revision === undefined)
      throw new InvalidRequest([{ path: 'X-Cache-Lease', reason: 'is not one that a read gave' }]);
    if (version === undefined) return { lease: Number(revision) };
    const stale = await this.stale(key);
    if (stale?.version !== Number(version)) throw new ConditionFailed();
    return { versionIn: [stale.version], checked: stale.version };
  }

  private async stale(key: CacheKey): Promise<Entry | undefined> {
    try {
      await this.cache.load(key.full, true);
      return undefined;
    } catch (error) {
      if (error instanceof KeyNotFound) return error.stale;
      throw error;
    }
  }
}

/** Who cannot fill must not keep others from it. */
function requireWriter(request: FastifyRequest): void {
  const { permissions, grants } = caller(request);
  if (!permissions.has('cache:write')) throw new InsufficientPermissions({ required: 'cache:write', held: grants });
}

function waitMs(request: FastifyRequest): number {
  return Math.min(preferences(request).waitSeconds ?? 0, MAX_WAIT_SECONDS) * 1000;
}
