import { type BodyFormat, Cache, type Format, jsonText, KeyNotFound, type Told } from '@cache-system/cache-engine';
import { type Place, readQuerySchema, type ReadQuery } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError } from '../platform/http/api-error.js';
import { CONTENT_TYPES, responseFormat } from '../platform/http/formats.js';
import { respond } from '../platform/http/respond.js';
import { cacheError } from './cache-errors.js';
import { cacheKey, type CacheKey } from './cache-key.js';
import { leaf, respondDocument } from './documents.js';
import { hitHeaders, type HitRemarks, readMetadata, readMetadataText } from './entry-text.js';
import { Leases } from './leases.js';
import { readPreconditions } from './preconditions.js';
import { query } from './query.js';
import { readWish } from './read-wish.js';
import { type Answer, type ReadWish, SourceReads } from './source-reads.js';

type Asked = Omit<Partial<ReadQuery>, 'format'> & { readonly format: BodyFormat };

/** What a read has found, in L1 or below. */
interface Hit {
  readonly stamp: Told;
  readonly format: Format;
  readonly text: () => string;
  readonly payload: () => Buffer;
  readonly ascii: boolean;
  readonly payloadBytes: number;
  readonly hits: number;
  readonly layer: Place;
  readonly remarks?: HitRemarks;
}

/**
 * `GET` and `HEAD /v1/cache/{key}`. What L1 has is answered without waiting for anything; the value goes from the entry
 * into the response as the text that it is.
 */
@Injectable()
export class CacheReads {
  constructor(
    private readonly cache: Cache,
    private readonly sources: SourceReads,
    private readonly leases: Leases,
  ) {}

  answer(request: FastifyRequest, reply: FastifyReply): void | Promise<void> {
    const format = responseFormat(request);
    const key = cacheKey(request);
    const asked = { ...query(readQuerySchema, request), format };
    const wish = readWish(request.headers['cache-control']);
    const slot = wish.fresh ? undefined : this.cache.peek(key.full);
    if (slot === undefined) return this.load(request, reply, key, asked, wish);
    this.cache.countHit(slot);
    const { ascii, payloadBytes, hits } = slot;
    this.send(request, reply, key, asked, {
      stamp: slot,
      format: slot.format,
      text: () => slot.text(),
      payload: () => slot.payload(),
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
    asked: Asked,
    wish: ReadWish,
  ): Promise<void> {
    let found: Answer;
    try {
      found = await this.find(request, key, asked, wish);
    } catch (error) {
      throw cacheError(error, key.name);
    }
    const { entry, layer, hits } = found;
    const { format, ascii, payload } = entry;
    this.send(request, reply, key, asked, {
      stamp: entry,
      format,
      text: () => jsonText(entry),
      payload: () => payload,
      ascii,
      payloadBytes: payload.length,
      hits,
      layer,
      remarks: found,
    });
  }

  private async find(request: FastifyRequest, key: CacheKey, { lease }: Asked, wish: ReadWish): Promise<Answer> {
    try {
      return await this.sources.load(key, wish);
    } catch (error) {
      if (lease === undefined || !(error instanceof KeyNotFound)) throw error;
      return this.leases.answer(request, key, error, wish, lease);
    }
  }

  private send(
    request: FastifyRequest,
    reply: FastifyReply,
    key: CacheKey,
    { include_metadata: withMetadata, format }: Asked,
    hit: Hit,
  ): void {
    const { stamp, ascii, payloadBytes, hits, layer, remarks } = hit;
    const headers = hitHeaders(stamp, layer, remarks);
    if (request.headers['if-none-match'] !== undefined || request.headers['if-match'] !== undefined) {
      const outcome = readPreconditions(request, stamp.version);
      if (outcome === 'failed') throw new ApiError('PRECONDITION_FAILED', { key: key.name });
      if (outcome === 'not-modified') return respond(request, reply, 304, headers);
    }
    if (format !== 'json' || hit.format !== 'json') {
      const value = leaf({ format: hit.format, payload: hit.payload() });
      const metadata = withMetadata ? readMetadata(stamp, payloadBytes, layer, hits) : undefined;
      const document = { key: key.name, value, metadata };
      return respondDocument(request, reply, format, 200, headers, document, 'ReadResponse');
    }
    headers.push('Content-Type', CONTENT_TYPES.json);
    const keyText = JSON.stringify(key.name);
    const rest = withMetadata ? `,"metadata":${readMetadataText(stamp, payloadBytes, layer, hits)}}` : '}';
    const body = `{"key":${keyText},"value":${hit.text()}${rest}`;
    respond(request, reply, 200, headers, body, ascii && keyText.length === Buffer.byteLength(keyText));
  }
}
