import { Cache } from '@cache-system/cache-engine';
import { objectQuerySchema, objectWriteQuerySchema } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError } from '../platform/http/api-error.js';
import { query } from '../platform/http/query.js';
import { respond } from '../platform/http/respond.js';
import { cacheError } from './cache-errors.js';
import { cacheKey } from './cache-key.js';
import { CacheWrites, sendWritten } from './cache-writes.js';
import { rawBody } from './documents.js';
import { hitHeaders } from './entry-text.js';
import { fromBytes, toBytes } from './object-value.js';
import { readPreconditions } from './preconditions.js';
import { readWish } from './read-wish.js';
import { type Answer, SourceReads } from './source-reads.js';
import { SourceWrites } from './source-writes.js';

const BEFORE_KEY = '/object/';
/** Whoever may store must not have scripts of theirs run in the browser of who looks at it. */
const NO_SCRIPTS = "default-src 'none'; sandbox";

/** Entries as plain bodies: what was stored comes back as it came, under its own media type. */
@Injectable()
export class Objects {
  constructor(
    private readonly cache: Cache,
    private readonly writes: CacheWrites,
    private readonly reads: SourceReads,
    private readonly sources: SourceWrites,
  ) {}

  async read(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    query(objectQuerySchema, request);
    const key = cacheKey(request, BEFORE_KEY);
    const wish = readWish(request.headers['cache-control']);
    let answer: Answer;
    try {
      const slot = wish.fresh ? undefined : this.cache.peek(key.full);
      if (slot) this.cache.countHit(slot);
      answer = slot
        ? { entry: slot.entry, layer: 'L1', hits: slot.hits, stale: false, unavailable: [] }
        : await this.reads.load(key, wish);
    } catch (error) {
      throw cacheError(error, key.name);
    }
    const { entry, layer } = answer;
    const headers = hitHeaders(entry, layer, answer);
    const outcome = readPreconditions(request, entry.version);
    if (outcome === 'failed') throw new ApiError('PRECONDITION_FAILED', { key: key.name });
    if (outcome === 'not-modified') {
      respond(request, reply, 304, headers);
      return;
    }
    const { bytes, contentType } = toBytes(entry);
    headers.push('Content-Type', contentType, 'Content-Security-Policy', NO_SCRIPTS);
    respond(request, reply, 200, headers, bytes);
  }

  async store(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { ttl: ttlSeconds } = query(objectWriteQuerySchema, request);
    const key = cacheKey(request, BEFORE_KEY);
    const { value, contentType } = fromBytes(rawBody(request) ?? Buffer.alloc(0), request.headers['content-type']);
    this.writes.storable(value);
    const written = await this.writes.attempt(request, key, undefined, false, (condition) =>
      this.sources.store(key, { condition, needsOld: false }, (through) =>
        this.cache.put(key.full, value, { ...through, contentType, ...(ttlSeconds !== undefined && { ttlSeconds }) }),
      ),
    );
    sendWritten(request, reply, 'json', key, written, undefined, 200);
  }

  async remove(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    query(objectQuerySchema, request);
    const key = cacheKey(request, BEFORE_KEY);
    const layers = await this.writes.attempt(request, key, undefined, true, (condition) =>
      this.sources.remove(key, condition),
    );
    respond(request, reply, 200, ['X-Deleted-From', layers.join(',')]);
  }
}
