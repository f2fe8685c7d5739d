import { Cache, type Entry, type Found, jsonText } from '@cache-system/cache-engine';
import { readQuerySchema, type LayerName, type ReadQuery } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError } from '../platform/http/api-error.js';
import { JSON_TYPE, respond } from '../platform/http/respond.js';
import { cacheError } from './cache-errors.js';
import { cacheKey, type CacheKey } from './cache-key.js';
import { hitHeaders, readMetadataText } from './entry-text.js';
import { query, requireJsonAccepted } from './negotiation.js';
import { readPreconditions } from './preconditions.js';

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
    const slot = this.cache.peek(key.full);
    if (slot === undefined) return this.load(request, reply, key, asked);
    this.cache.countHit(slot);
    this.send(request, reply, key, slot.entry, 'L1', slot.hits, asked);
  }

  private async load(
    request: FastifyRequest,
    reply: FastifyReply,
    key: CacheKey,
    asked: Partial<ReadQuery>,
  ): Promise<void> {
    let found: Found;
    try {
      found = await this.cache.load(key.full);
    } catch (error) {
      throw cacheError(error, key.name);
    }
    this.send(request, reply, key, found.entry, found.layer, found.hits, asked);
  }

  private send(
    request: FastifyRequest,
    reply: FastifyReply,
    key: CacheKey,
    entry: Entry,
    layer: LayerName,
    hits: number,
    { include_metadata: includeMetadata }: Partial<ReadQuery>,
  ): void {
    const headers = hitHeaders(entry, layer);
    if (request.headers['if-none-match'] !== undefined || request.headers['if-match'] !== undefined) {
      const outcome = readPreconditions(request, entry.version);
      if (outcome === 'failed') throw new ApiError('PRECONDITION_FAILED', { key: key.name });
      if (outcome === 'not-modified') return respond(request, reply, 304, headers);
    }
    headers.push('Content-Type', JSON_TYPE);
    const keyText = JSON.stringify(key.name);
    const rest = includeMetadata ? `,"metadata":${readMetadataText(entry, layer, hits)}}` : '}';
    const body = `{"key":${keyText},"value":${jsonText(entry)}${rest}`;
    respond(request, reply, 200, headers, body, entry.ascii && keyText.length === Buffer.byteLength(keyText));
  }
}
