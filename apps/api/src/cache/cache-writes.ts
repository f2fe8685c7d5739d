import {
  addNumbers,
  applyJsonPatch,
  Cache,
  type Condition,
  ConditionFailed,
  deepMerge,
  type Entry,
  isNumber,
  jsonText,
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
  type Written,
} from '@cache-system/cache-engine';
import { deleteQuerySchema, patchQuerySchema, writeQuerySchema } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError, InvalidRequest } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import { elapsedMs, JSON_TYPE, respond } from '../platform/http/respond.js';
import { cacheError } from './cache-errors.js';
import { cacheKey, type CacheKey } from './cache-key.js';
import { stampText, writeMetadataText } from './entry-text.js';
import { etag, parseVersion } from './etag.js';
import { query, requireJsonAccepted } from './negotiation.js';
import { writeCondition } from './preconditions.js';
import {
  type PatchBody,
  readIncrementBody,
  readJsonText,
  readPatchBody,
  readTouchBody,
  readWriteBody,
  storableValue,
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
  ) {}

  async put(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    await this.store(request, reply, false);
  }

  /** Replaces an entry that must be there. */
  async replace(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    await this.store(request, reply, true);
  }

  async patch(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    requireJsonAccepted(request);
    const key = cacheKey(request);
    const asked = query(patchQuerySchema, request);
    const { merge, options } = this.readPatch(request);
    const written = await this.attempt(request, key, options.if_version, true, (condition) =>
      this.cache.revise(
        key.full,
        (current) => {
          if (!current) throw new KeyNotFound(this.cache.layerNames);
          return this.storable(merge(jsonText(current)));
        },
        { ttlSeconds: asked.ttl ?? options.ttl, replicate: options.replicate, condition },
      ),
    );
    sendWritten(request, reply, key, written);
  }

  async remove(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const key = cacheKey(request);
    const { cascade = true } = query(deleteQuerySchema, request);
    const layers = await this.attempt(request, key, undefined, true, (condition) =>
      cascade ? this.cache.remove(key.full, condition) : this.cache.dropFromL1(key.full, condition),
    );
    respond(request, reply, 204, ['X-Deleted-From', layers.join(','), 'X-Deletion-Time', `${elapsedMs(request)}ms`]);
  }

  async touch(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    requireJsonAccepted(request);
    const key = cacheKey(request);
    const { ttl } = readTouchBody(rawBody(request));
    const stamp = await this.attempt(request, key, undefined, true, (condition) =>
      this.cache.touch(key.full, ttl, condition),
    );
    const body = `{"key":${JSON.stringify(key.name)},"status":"touched","metadata":{${stampText(stamp)}}}`;
    respond(request, reply, 200, ['Content-Type', JSON_TYPE, 'ETag', etag(stamp.version)], body);
  }

  async increment(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    requireJsonAccepted(request);
    const key = cacheKey(request);
    const { byText, initialText, ttl } = readIncrementBody(rawBody(request));
    const written = await this.attempt(request, key, undefined, false, async (condition) => {
      const options = { ttlSeconds: ttl, condition };
      const [by, initial] = [plainInteger(byText), plainInteger(initialText)];
      const added =
        by === undefined || initial === undefined
          ? undefined
          : await this.cache.increment(key.full, { by, initial, ...options });
      return added ?? this.cache.revise(key.full, (current) => this.sum(current, initialText, byText), options);
    });
    sendWritten(request, reply, key, written, `,"value":${jsonText(written.entry)}`);
  }

  private sum(current: Entry | undefined, initialText: string, byText: string): Value {
    const text = current ? jsonText(current) : initialText;
    if (text.length > MAX_DIGITS || !isNumber(text)) throw new NotANumber('first');
    return this.storable(addNumbers(text, byText));
  }

  private async store(request: FastifyRequest, reply: FastifyReply, mustExist: boolean): Promise<void> {
    requireJsonAccepted(request);
    const key = cacheKey(request);
    const asked = query(writeQuerySchema, request);
    const { valueText, options } = readWriteBody(rawBody(request));
    const value = this.storable(valueText);
    const written = await this.attempt(request, key, options.if_version, mustExist, (condition) =>
      this.cache.put(key.full, value, {
        ttlSeconds: asked.ttl ?? options.ttl,
        strategy: asked.strategy,
        replicate: options.replicate,
        condition: mustExist ? onExisting(condition) : condition,
      }),
    );
    sendWritten(request, reply, key, written);
  }

  /**
   * Runs a write under the preconditions of its request, and says in terms of the API why it failed: 404 where the
   * entry that it needs is missing, 412 for a precondition of HTTP, 409 for one of the body.
   */
  private async attempt<T>(
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

  private readPatch(request: FastifyRequest): Pick<PatchBody, 'options'> & { merge: (current: string) => string } {
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
    const { valueText, options, mergeStrategy } = readPatchBody(rawBody(request));
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

  private storable(text: string) {
    return storableValue(text, this.config.current.cache.limits.max_value_bytes);
  }
}

/** The body of a route that takes it as it came. */
function rawBody(request: FastifyRequest): Buffer | undefined {
  return request.body as Buffer | undefined;
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

function sendWritten(request: FastifyRequest, reply: FastifyReply, key: CacheKey, written: Written, more = ''): void {
  const { entry, status, layers } = written;
  const held = layers.map((layer) => `"${layer}"`).join(',');
  const body = `{"key":${JSON.stringify(key.name)},"status":"${status}"${more},"metadata":${writeMetadataText(written)},"cache_layers":[${held}]}`;
  const headers = ['Content-Type', JSON_TYPE, 'ETag', etag(entry.version)];
  respond(request, reply, status === 'created' ? 201 : 200, headers, body);
}
