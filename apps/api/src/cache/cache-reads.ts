import { Cache, type Found, jsonText, type Stamp } from '@cache-system/cache-engine';
import { type LayerName, readQuerySchema, type ReadQuery } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError } from '../platform/http/api-error.js';
import { JSON_TYPE, respond } from '../platform/http/respond.js';
import { cacheError } from './cache-errors.js';
import { cacheKey, type CacheKey } from './cache-key.js';
import { hitHeaders, type HitRemarks, readMetadataText } from './entry-text.js';
import { query, requireJsonAccepted } from './negotiation.js';
import { readPreconditions } from './preconditions.js';

/** RFC 9111, section 5.2.1.4: the newest acknowledged version, not a copy in L1. */
const NO_CACHE = /(^|,)\s*no-cache\s*(,|$)/i;

/** What a read has found, in L1 or below. */
interface Hit {
  readonly stamp: Stamp;
  readonly text: () => string;
  readonly ascii: boolean;
  readonly payloadBytes: number;
  readonly hits: number;
  readonly layer: LayerName;
  readonly remarks?: HitRemarks;
}

/**
 * `GET` and `HEAD /v1/cache/{key}`. What L1 has is answered without waiting for anything; the value goes from the entry
 * into the response as the text that it is.
 */
@Injectable()
export class CacheReads {
  constructor(private readonly cache: Cache) {}

  answer(request: FastifyRequest, reply: FastifyReply): void | Promise<void> {
    requireJsonAccepted(request);
    const key = cacheKey(request);
    const asked = query(readQuerySchema, request);
    const fresh = NO_CACHE.test(request.headers['cache-control'] ?? '');
    const slot = fresh ? undefined : this.cache.peek(key.full);
    if (slot === undefined) return this.load(request, reply, key, asked, fresh);
    this.cache.countHit(slot);
    const { ascii, payloadBytes, hits } = slot;
    this.send(request, reply, key, asked, {
      stamp: slot,
      text: () => slot.text(),
      ascii,
      payloadBytes,
      hits,
      layer: 'L1',
    });
  }

  private async load(
    request: FastifyRequest,
    reply: FastifyReply,
    key: CacheKey,
    asked: Partial<ReadQuery>,
    fresh: boolean,
  ): Promise<void> {
    let found: Found;
    try {
      found = await this.cache.load(key.full, fresh);
    } catch (error) {
      throw cacheError(error, key.name);
    }
    const { entry, layer, hits } = found;
    const { ascii, payload } = entry;
    const text = () => jsonText(entry);
    const hit = { stamp: entry, text, ascii, payloadBytes: payload.length, hits, layer, remarks: found };
    this.send(request, reply, key, asked, hit);
  }

  private send(
    request: FastifyRequest,
    reply: FastifyReply,
    key: CacheKey,
    { include_metadata: includeMetadata }: Partial<ReadQuery>,
    { stamp, text, ascii, payloadBytes, hits, layer, remarks }: Hit,
  ): void {
    const headers = hitHeaders(stamp, layer, remarks);
    if (request.headers['if-none-match'] !== undefined || request.headers['if-match'] !== undefined) {
      const outcome = readPreconditions(request, stamp.version);
      if (outcome === 'failed') throw new ApiError('PRECONDITION_FAILED', { key: key.name });
      if (outcome === 'not-modified') return respond(request, reply, 304, headers);
    }
    headers.push('Content-Type', JSON_TYPE);
    const keyText = JSON.stringify(key.name);
    const rest = includeMetadata ? `,"metadata":${readMetadataText(stamp, payloadBytes, layer, hits)}}` : '}';
    const body = `{"key":${keyText},"value":${text()}${rest}`;
    respond(request, reply, 200, headers, body, ascii && keyText.length === Buffer.byteLength(keyText));
  }
}
