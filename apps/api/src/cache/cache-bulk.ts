import { Cache, currentUntilMs, KeyNotFound, type Slot, type Value } from '@cache-system/cache-engine';
import {
  bulkDeleteRequestSchema,
  bulkGetRequestSchema,
  type Place,
  type WriteOptions,
  type Strategy,
} from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError } from '../platform/http/api-error.js';
import { responseFormat } from '../platform/http/formats.js';
import { log } from '../platform/logging.js';
import { cacheError } from './cache-errors.js';
import { type CacheKey, checkedName, keySpace } from './cache-key.js';
import { CacheWrites } from './cache-writes.js';
import { leaf, readFields, respondDocument, valueOf } from './documents.js';
import { isoTime, readMetadata } from './entry-text.js';
import { versionText } from './etag.js';
import { type Answer, SourceReads } from './source-reads.js';
import { readBulkSet } from './write-body.js';

type ItemResult = Readonly<Record<string, unknown>> & { readonly status: string };

/** Of all values in one answer, which is put together in memory. */
const MAX_VALUES_BYTES = 64 * 1024 * 1024;

const PENDING: ItemResult = { status: 'error' };
const TOO_MUCH: ItemResult = {
  status: 'error',
  error: 'The values of other keys fill the response',
  code: 'PAYLOAD_TOO_LARGE',
};

/** Many keys in one request. One key's failure fails no other; what the layers are asked goes out together. */
@Injectable()
export class CacheBulk {
  constructor(
    private readonly cache: Cache,
    private readonly writes: CacheWrites,
    private readonly sources: SourceReads,
  ) {}

  async get(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const format = responseFormat(request);
    const { keys, options = {} } = readFields(request, bulkGetRequestSchema, 'BulkGetRequest');
    const { include_metadata: withMetadata = false, max_concurrent: atOnce } = options;
    const read = new BulkRead(withMetadata);
    const missing: CacheKey[] = [];
    const space = keySpace(request);
    for (const name of keys) {
      if (read.results.has(name)) continue;
      try {
        const key = space.keyOf(checkedName(name));
        const slot = this.cache.peek(key.full);
        if (slot) this.cache.countHit(slot);
        else missing.push(key);
        read.results.set(name, slot ? read.ofSlot(slot) : PENDING);
      } catch (error) {
        read.results.set(name, failure(error, name));
      }
    }
    // In one round trip to each part of the layer below, unless it is to be done bit by bit.
    const found = atOnce === undefined ? await this.cache.loadMany(missing.map(({ full }) => full)) : [];
    const left = missing.filter((key, index) => {
      const each = found[index];
      if (each) read.results.set(key.name, read.ofAnswer(each));
      return !each;
    });
    await this.atATime(left, atOnce, async (key) => {
      try {
        read.results.set(key.name, read.ofAnswer(await this.sources.load(key)));
      } catch (error) {
        read.results.set(key.name, failure(error, key.name));
      }
    });
    const { results } = read;
    const [hits, misses, errors] = ['hit', 'miss', 'error'].map((status) => count(results, status));
    const total = results.size;
    const summary = {
      total_keys: total,
      hits,
      misses,
      ...(errors !== 0 && { errors }),
      hit_ratio: Math.round(((hits ?? 0) / total) * 100) / 100,
    };
    respondDocument(request, reply, format, 200, [], { results, summary }, 'BulkGetResponse');
  }

  async set(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const format = responseFormat(request);
    const { entries, options = {} } = readBulkSet(request);
    const { strategy, max_concurrent: atOnce, ...common } = options;
    // Of a key that comes twice the last value counts, as it would one after the other.
    const byKey = new Map(entries.map((entry) => [entry.key, entry]));
    const results = await this.each(request, [...byKey.keys()], atOnce, async (key) => {
      const { value, ttl, options: own } = byKey.get(key.name) ?? {};
      if (!value) throw new Error('an entry without a value');
      const merged: WriteOptions & { strategy?: Strategy | undefined } = {
        ...common,
        ...own,
        ...(ttl !== undefined && { ttl }),
        strategy,
      };
      const { status, entry, layers } = await this.writes.storeOne(key, valueOf(value), merged);
      const expiresAtMs = currentUntilMs(entry);
      return {
        status,
        version: versionText(entry.version),
        expires_at: expiresAtMs === 0 ? null : isoTime(expiresAtMs),
        cache_layers: layers,
      };
    });
    const [created, updated, errors] = ['created', 'updated', 'error'].map((status) => count(results, status));
    const summary = { total_keys: results.size, created, updated, errors };
    respondDocument(request, reply, format, 200, [], { results, summary }, 'BulkSetResponse');
  }

  async remove(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const format = responseFormat(request);
    const { keys, options = {} } = readFields(request, bulkDeleteRequestSchema, 'BulkDeleteRequest');
    const results = await this.each(request, keys, options.max_concurrent, async (key) => ({
      status: 'deleted',
      deleted_from: await this.writes.removeOne(key),
    }));
    const [deleted, misses, errors] = ['deleted', 'miss', 'error'].map((status) => count(results, status));
    const summary = { total_keys: results.size, deleted, misses, errors };
    respondDocument(request, reply, format, 200, [], { results, summary }, 'BulkDeleteResponse');
  }

  /** Works on each key once, on so many at a time. All at once they make one round trip to each part of a layer. */
  private async each(
    request: FastifyRequest,
    names: readonly string[],
    atOnce = names.length,
    work: (key: CacheKey) => ItemResult | Promise<ItemResult>,
  ): Promise<Map<string, ItemResult>> {
    const space = keySpace(request);
    const results = new Map<string, ItemResult>(names.map((name) => [name, { status: 'error' }]));
    await this.atATime([...results.keys()], atOnce, async (name) => {
      try {
        results.set(name, await work(space.keyOf(checkedName(name))));
      } catch (error) {
        results.set(name, failure(error, name));
      }
    });
    return results;
  }

  private async atATime<T>(
    items: readonly T[],
    atOnce = items.length,
    work: (item: T) => Promise<void>,
  ): Promise<void> {
    const left = items.values();
    const worker = async () => {
      for (const item of left) await work(item);
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  }
}

/** The results of one bulk get, up to a size. */
class BulkRead {
  readonly results = new Map<string, ItemResult>();
  private bytes = 0;

  constructor(private readonly withMetadata: boolean) {}

  ofSlot(slot: Slot): ItemResult {
    const { format, payloadBytes: size, hits } = slot;
    return this.hit({ format, payload: slot.payload() }, 'L1', () => readMetadata(slot, size, 'L1', hits));
  }

  ofAnswer({ entry, layer, hits }: Pick<Answer, 'entry' | 'layer' | 'hits'>): ItemResult {
    return this.hit(entry, layer, () => readMetadata(entry, entry.payload.length, layer, hits));
  }

  private hit(value: Pick<Value, 'format' | 'payload'>, layer: Place, metadata: () => object): ItemResult {
    this.bytes += value.payload.length;
    if (this.bytes > MAX_VALUES_BYTES) return TOO_MUCH;
    const result = { status: 'hit', value: leaf(value), cache_layer: layer };
    return this.withMetadata ? { ...result, metadata: metadata() } : result;
  }
}

function failure(error: unknown, name: string): ItemResult {
  if (error instanceof KeyNotFound) return { status: 'miss', error: 'Key not found' };
  const known = cacheError(error, name);
  if (known instanceof ApiError) {
    const { rule, reason } = known.details;
    const said = [rule, reason].find((each) => typeof each === 'string');
    return { status: 'error', error: said ?? known.message, code: known.code };
  }
  log.error({ err: error }, 'one key of a bulk request failed');
  return { status: 'error', error: 'An unexpected error occurred', code: 'INTERNAL_SERVER_ERROR' };
}

function count(results: ReadonlyMap<string, ItemResult>, wanted: string): number {
  let found = 0;
  for (const { status } of results.values()) if (status === wanted) found++;
  return found;
}
