import {
  type BodyFormat,
  Cache,
  type Format,
  jsonText,
  KeyNotFound,
  type Slot,
  type Told,
} from '@cache-system/cache-engine';
import { type Explain, headQuerySchema, type Place, readQuerySchema, type ReadQuery } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError } from '../platform/http/api-error.js';
import { CONTENT_TYPES, responseFormat } from '../platform/http/formats.js';
import { query } from '../platform/http/query.js';
import { respond } from '../platform/http/respond.js';
import { cacheError } from './cache-errors.js';
import { cacheKey, type CacheKey } from './cache-key.js';
import { leaf, respondDocument } from './documents.js';
import { hitHeaders, type HitRemarks, readMetadata, readMetadataText } from './entry-text.js';
import { Leases } from './leases.js';
import { readPreconditions } from './preconditions.js';
import { explainAnswer, explainCopy, explainError } from './read-explanation.js';
import type { ReadRecord } from './read-record.js';
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
  readonly explain?: Explain | undefined;
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
    const asked: Asked = { ...query(request.method === 'HEAD' ? headQuerySchema : readQuerySchema, request), format };
    const wish = readWish(request.headers['cache-control']);
    const record = asked.explain ? this.sources.record(key) : undefined;
    const slot = wish.fresh ? undefined : this.peek(key, record);
    if (slot === undefined) return this.load(request, reply, key, asked, wish, record);
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
      explain: record && explainCopy(record),
    });
  }

  private peek(key: CacheKey, record: ReadRecord | undefined): Slot | undefined {
    if (!record) return this.cache.peek(key.full);
    const slot = record.layers.look('L1', () => this.cache.peek(key.full, record.layers));
    if (slot) record.layers.foundTags(slot.attributes?.tags);
    return slot;
  }

  private async load(
    request: FastifyRequest,
    reply: FastifyReply,
    key: CacheKey,
    asked: Asked,
    wish: ReadWish,
    record: ReadRecord | undefined,
  ): Promise<void> {
    let found: Answer;
    try {
      found = await this.find(request, key, asked, wish, record);
    } catch (cause) {
      const error = cacheError(cause, key.name);
      throw record ? await explainError(record, cause, error, this.cache, key) : error;
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
      explain: record && (await explainAnswer(record, found, this.cache, key)),
    });
  }

  private async find(
    request: FastifyRequest,
    key: CacheKey,
    { lease }: Asked,
    wish: ReadWish,
    record: ReadRecord | undefined,
  ): Promise<Answer> {
    try {
      return await this.sources.load(key, wish, record);
    } catch (error) {
      if (lease === undefined || !(error instanceof KeyNotFound)) throw error;
      return this.leases.answer(request, key, error, wish, lease, record);
    }
  }

  private send(
    request: FastifyRequest,
    reply: FastifyReply,
    key: CacheKey,
    { include_metadata: withMetadata, format }: Asked,
    hit: Hit,
  ): void {
    const { stamp, ascii, payloadBytes, hits, layer, remarks, explain } = hit;
    const headers = hitHeaders(stamp, layer, remarks);
    if (request.headers['if-none-match'] !== undefined || request.headers['if-match'] !== undefined) {
      const outcome = readPreconditions(request, stamp.version);
      if (outcome === 'failed') throw new ApiError('PRECONDITION_FAILED', { key: key.name });
      if (outcome === 'not-modified' && !explain) return respond(request, reply, 304, headers);
    }
    if (format !== 'json' || hit.format !== 'json') {
      const value = leaf({ format: hit.format, payload: hit.payload() });
      const metadata = withMetadata ? readMetadata(stamp, payloadBytes, layer, hits) : undefined;
      const document = { key: key.name, value, metadata, explain };
      return respondDocument(request, reply, format, 200, headers, document, 'ReadResponse');
    }
    headers.push('Content-Type', CONTENT_TYPES.json);
    const keyText = JSON.stringify(key.name);
    const metadata = withMetadata ? `,"metadata":${readMetadataText(stamp, payloadBytes, layer, hits)}` : '';
    const rest = explain ? `${metadata},"explain":${JSON.stringify(explain)}}` : `${metadata}}`;
    const body = `{"key":${keyText},"value":${hit.text()}${rest}`;
    respond(request, reply, 200, headers, body, ascii && !explain && keyText.length === Buffer.byteLength(keyText));
  }
}
