import {
  addNumbers,
  applyJsonPatch,
  type BodyFormat,
  Cache,
  type Condition,
  ConditionFailed,
  deepMerge,
  type Entry,
  isNumber,
  KeyNotFound,
  MAX_DEPTH,
  mergePatch,
  nestingDepth,
  NotANumber,
  parseJsonPatch,
  plainInteger,
  shallowMerge,
  TooDeep,
  type Value,
} from '@cache-system/cache-engine';
import {
  deleteQuerySchema,
  patchQuerySchema,
  type Place,
  type Strategy,
  type WriteOptions,
  writeQuerySchema,
} from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError, InvalidRequest } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import { CONTENT_TYPES, responseFormat } from '../platform/http/formats.js';
import type { HeaderList } from '../platform/http/header-list.js';
import { query } from '../platform/http/query.js';
import { elapsedMs, respond } from '../platform/http/respond.js';
import { CacheCollections } from './cache-collections.js';
import { cacheError } from './cache-errors.js';
import { cacheKey, type CacheKey } from './cache-key.js';
import { asJsonText, fromJsonText, leaf, rawBody, respondDocument } from './documents.js';
import { stampText, writeMetadataText } from './entry-text.js';
import { etag, parseVersion } from './etag.js';
import { Leases } from './leases.js';
import { writeCondition } from './preconditions.js';
import { SourceWrites, type StoredAt, type ThroughOptions } from './source-writes.js';
import {
  readIncrementBody,
  readJsonText,
  readPatchBody,
  readTouchBody,
  readWriteBody,
  requireStorable,
} from './write-body.js';

/** A number with more digits is a text somebody took for a number, and adding to it would take long. */
const MAX_DIGITS = 1000;
const MAX_PATCH_OPERATIONS = 1000;

const MERGES = {
  deep: deepMerge,
  shallow: shallowMerge,
  replace: (_current: string, patch: string) => patch,
} as const;

/** Everything under `/v1/cache/{key}` that changes an entry. */
@Injectable()
export class CacheWrites {
  constructor(
    private readonly cache: Cache,
    private readonly config: LiveConfig,
    private readonly collections: CacheCollections,
    private readonly sources: SourceWrites,
    private readonly leases: Leases,
  ) {}

  async put(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    await this.store(request, reply, false);
  }

  /** Replaces an entry that must be there. */
  async replace(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    await this.store(request, reply, true);
  }

  /** Stores one of the entries of a bulk request. */
  async storeOne(
    key: CacheKey,
    value: Value,
    options: WriteOptions & { readonly strategy?: Strategy | undefined },
  ): Promise<StoredAt> {
    const { if_version: ifVersion, strategy } = options;
    this.storable(value);
    const condition = combine(undefined, ifVersion);
    try {
      return await this.sources.store(key, { strategy, condition, needsOld: false }, (through) =>
        this.cache.put(key.full, value, { ...through, ...storageOptions(options, through) }),
      );
    } catch (error) {
      if (error instanceof ConditionFailed) {
        throw new ApiError('CACHE_KEY_CONFLICT', { key: key.name, if_version: ifVersion }, { cause: error });
      }
      throw error;
    }
  }

  /** Removes one of the entries of a bulk request. @returns from where */
  removeOne(key: CacheKey): Promise<readonly Place[]> {
    return this.sources.remove(key, undefined);
  }

  async patch(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const format = responseFormat(request);
    const key = cacheKey(request);
    const asked = query(patchQuerySchema, request);
    const { merge, options } = this.readPatch(request);
    const written = await this.attempt(request, key, options.if_version, true, (condition) =>
      this.sources.store(key, { condition, needsOld: true }, (through) =>
        this.cache.revise(
          key.full,
          (current) => {
            if (!current) throw new KeyNotFound(this.cache.layerNames);
            return this.storable(fromJsonText(merge(asJsonText(current)), current.format));
          },
          { ...through, ...storageOptions({ ...options, ttl: asked.ttl ?? options.ttl }) },
        ),
      ),
    );
    sendWritten(request, reply, format, key, written);
  }

  async remove(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { cascade = true, pattern, dry_run: dryRun } = query(deleteQuerySchema, request);
    if (pattern !== undefined) return this.collections.removePattern(request, reply, pattern, dryRun);
    const key = cacheKey(request);
    const layers = await this.attempt(request, key, undefined, true, (condition) =>
      cascade ? this.sources.remove(key, condition) : this.cache.dropFromL1(key.full, condition),
    );
    respond(request, reply, 204, ['X-Deleted-From', layers.join(','), 'X-Deletion-Time', `${elapsedMs(request)}ms`]);
  }

  async touch(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const format = responseFormat(request);
    const key = cacheKey(request);
    const { ttl } = readTouchBody(request);
    const stamp = await this.attempt(request, key, undefined, true, (condition) =>
      this.cache.touch(key.full, ttl, condition),
    );
    const body = `{"key":${JSON.stringify(key.name)},"status":"touched","metadata":{${stampText(stamp)}}}`;
    send(request, reply, format, 200, ['ETag', etag(stamp.version)], body, 'TouchResponse');
  }

  async increment(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const format = responseFormat(request);
    const key = cacheKey(request);
    const { byText, initialText, ttl } = readIncrementBody(request);
    const written = await this.attempt(request, key, undefined, false, (condition) =>
      this.sources.store(key, { condition, needsOld: true }, async (through) => {
        const options = { ...through, ttlSeconds: ttl };
        const [by, initial] = [plainInteger(byText), plainInteger(initialText)];
        const inOneStep =
          by !== undefined && initial !== undefined && !through.through && !through.noted && !through.known;
        const added = inOneStep ? await this.cache.increment(key.full, { by, initial, ...options }) : undefined;
        return added ?? this.cache.revise(key.full, (current) => this.sum(current, initialText, byText), options);
      }),
    );
    sendWritten(request, reply, format, key, written, written.entry);
  }

  private sum(current: Entry | undefined, initialText: string, byText: string): Value {
    const text = current ? asJsonText(current) : initialText;
    if (text.length > MAX_DIGITS || !isNumber(text)) throw new NotANumber('first');
    return this.storable(fromJsonText(addNumbers(text, byText), current?.format ?? 'json'));
  }

  private async store(request: FastifyRequest, reply: FastifyReply, mustExist: boolean): Promise<void> {
    const format = responseFormat(request);
    const key = cacheKey(request);
    const asked = query(writeQuerySchema, request);
    const { value, options } = readWriteBody(request);
    this.storable(value);
    const written = await this.attempt(request, key, options.if_version, mustExist, async (condition) => {
      const leased = await this.leases.condition(request, key);
      const wanted = leased ? { ...condition, ...leased } : mustExist ? onExisting(condition) : condition;
      const given = { ...options, ttl: asked.ttl ?? options.ttl };
      return this.sources.store(key, { strategy: asked.strategy, condition: wanted, needsOld: mustExist }, (through) =>
        this.cache.put(key.full, value, { ...through, ...storageOptions(given, through) }),
      );
    });
    sendWritten(request, reply, format, key, written);
  }

  /**
   * Runs a write under the preconditions of its request, and says in terms of the API why it failed: 404 where the
   * entry that it needs is missing, 412 for a precondition of HTTP, 409 for one of the body.
   */
  async attempt<T>(
    request: FastifyRequest,
    key: CacheKey,
    ifVersion: string | undefined,
    mustExist: boolean,
    write: (condition: Condition | undefined) => Promise<T>,
  ): Promise<T> {
    const http = writeCondition(request);
    try {
      return await write(combine(http, ifVersion));
    } catch (error) {
      if (!(error instanceof ConditionFailed)) throw cacheError(error, key.name);
      if (mustExist) await this.requireExisting(key);
      if (http === undefined) throw new ApiError('CACHE_KEY_CONFLICT', { key: key.name, if_version: ifVersion });
      throw cacheError(error, key.name);
    }
  }

  private async requireExisting(key: CacheKey): Promise<void> {
    try {
      await this.cache.requireExisting(key.full);
    } catch (error) {
      throw cacheError(error, key.name);
    }
  }

  private readPatch(request: FastifyRequest): { options: WriteOptions; merge: (current: string) => string } {
    const type = request.headers['content-type'] ?? '';
    if (/^application\/merge-patch\+json/i.test(type)) {
      const patch = readJsonText(rawBody(request));
      return { options: {}, merge: (current) => mergePatch(current, patch) };
    }
    if (/^application\/json-patch\+json/i.test(type)) {
      const operations = this.readOperations(request);
      return {
        options: {},
        merge: (current) => {
          const patched = applyJsonPatch(current, operations, this.config.current.cache.limits.max_value_bytes);
          if (nestingDepth(patched) > MAX_DEPTH) throw new TooDeep(MAX_DEPTH);
          return patched;
        },
      };
    }
    const { valueText, options, mergeStrategy } = readPatchBody(request);
    return { options, merge: (current) => MERGES[mergeStrategy](current, valueText) };
  }

  private readOperations(request: FastifyRequest) {
    const text = readJsonText(rawBody(request));
    try {
      const operations = parseJsonPatch(text);
      if (operations.length <= MAX_PATCH_OPERATIONS) return operations;
      throw new InvalidRequest([{ path: '', reason: `must have at most ${MAX_PATCH_OPERATIONS} operations` }]);
    } catch (error) {
      throw cacheError(error, '');
    }
  }

  /** @throws ApiError PAYLOAD_TOO_LARGE */
  storable(value: Value): Value {
    requireStorable(value, this.maxValueBytes);
    return value;
  }

  private get maxValueBytes(): number {
    return this.config.current.cache.limits.max_value_bytes;
  }
}

/** What holds where the options of a write say nothing. */
type Lives = Pick<ThroughOptions, 'ttlSeconds' | 'staleWhileRevalidateSeconds' | 'staleIfErrorSeconds'>;

/** The options of a write in terms of the engine. */
function storageOptions(options: WriteOptions, lives: Lives = {}) {
  const { replicate, tags, compress, encrypt, ttl_jitter: ttlJitter, sliding } = options;
  const { stale_while_revalidate: whileRevalidate, stale_if_error: ifError } = options;
  if (sliding && (whileRevalidate || ifError)) {
    throw new InvalidRequest([
      { path: 'options.sliding', reason: 'cannot be combined with stale_*: reads would renew it' },
    ]);
  }
  return {
    ttlSeconds: options.ttl ?? lives.ttlSeconds,
    staleWhileRevalidateSeconds: whileRevalidate ?? lives.staleWhileRevalidateSeconds,
    staleIfErrorSeconds: ifError ?? lives.staleIfErrorSeconds,
    replicate,
    tags: tags && [...new Set(tags)],
    compress,
    encrypt,
    ttlJitter,
    sliding,
  };
}

function combine(http: Condition | undefined, ifVersion: string | undefined): Condition | undefined {
  if (!http && ifVersion === undefined) return undefined;
  const wanted =
    ifVersion === undefined ? undefined : [parseVersion(ifVersion)].filter((version) => version !== undefined);
  const listed = http?.versionIn;
  const versionIn = listed && wanted ? listed.filter((version) => wanted.includes(version)) : (listed ?? wanted);
  return { ...http, ...(versionIn && { versionIn }) };
}

/** The condition for a write that needs an entry. One that must be there and must not: nothing holds. */
function onExisting(condition: Condition | undefined): Condition {
  return condition?.exists === false ? { versionIn: [] } : { ...condition, exists: true };
}

/** Answers a write that went well. @param value of an increment, which answers with it */
export function sendWritten(
  request: FastifyRequest,
  reply: FastifyReply,
  format: BodyFormat,
  key: CacheKey,
  written: StoredAt,
  value?: Value,
  code = written.status === 'created' ? 201 : 200,
): void {
  const { entry, status, layers } = written;
  const held = layers.map((layer) => `"${layer}"`).join(',');
  const valueText = value ? `,"value":${asJsonText(value)}` : '';
  const body = `{"key":${JSON.stringify(key.name)},"status":"${status}"${valueText},"metadata":${writeMetadataText(written)},"cache_layers":[${held}]}`;
  const message = value ? 'IncrementResponse' : 'WriteResponse';
  send(request, reply, format, code, ['ETag', etag(entry.version)], body, message, value);
}

/** Sends what is put together as JSON, in the format that is asked for. @param value of the document, to lose no digit */
function send(
  request: FastifyRequest,
  reply: FastifyReply,
  format: BodyFormat,
  status: number,
  headers: HeaderList,
  text: string,
  messageName: string,
  value?: Value,
): void {
  if (format === 'json') {
    headers.push('Content-Type', CONTENT_TYPES.json);
    respond(request, reply, status, headers, text);
  } else {
    const document = { ...(JSON.parse(text) as object), ...(value && { value: leaf(value) }) };
    respondDocument(request, reply, format, status, headers, document, messageName);
  }
}
