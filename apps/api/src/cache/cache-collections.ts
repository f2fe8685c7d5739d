import { type BodyFormat, Cache, currentUntilMs, type Head } from '@cache-system/cache-engine';
import {
  deleteManyQuerySchema,
  type DeletionJob,
  invalidateRequestSchema,
  type InvalidateRequest,
  type ListQuery,
  listQuerySchema,
} from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { InvalidRequest } from '../platform/http/api-error.js';
import { responseFormat } from '../platform/http/formats.js';
import type { HeaderList } from '../platform/http/header-list.js';
import { preferences } from '../platform/http/prefer.js';
import { query, requiredQuery } from '../platform/http/query.js';
import { elapsedMs, respond } from '../platform/http/respond.js';
import { cacheError } from './cache-errors.js';
import { checkedName, type KeySpace, keySpace } from './cache-key.js';
import { readFields, respondDocument } from './documents.js';
import { isoTime } from './entry-text.js';
import { versionText } from './etag.js';
import { matching, select, type Selection, type Wanted } from './selection.js';
import { type Sweep, Sweeps } from './sweeps.js';

const DEFAULT_LIMIT = 100;
/** A page that finds little is handed out as it is after this time. */
const LIST_PATIENCE_MS = 200;
/** Who deletes many entries waits for so long until told of a job. */
const SWEEP_PATIENCE_MS = 500;

interface SweepWish {
  readonly dryRun: boolean;
  readonly patienceMs: number;
}

/** Everything that concerns many entries at once: listing, and deletion by pattern, prefix and tag. */
@Injectable()
export class CacheCollections {
  constructor(
    private readonly cache: Cache,
    private readonly sweeps: Sweeps,
  ) {}

  async list(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const format = responseFormat(request);
    const asked = query(listQuerySchema, request);
    const space = keySpace(request);
    const page = await orCacheError(() => this.page(space, asked));
    respondDocument(request, reply, format, 200, [], page, 'ListResponse');
  }

  async removeMany(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const format = responseFormat(request);
    const { pattern, tag, dry_run: dryRun = false } = requiredQuery(deleteManyQuerySchema, request);
    const sweep = await orCacheError(() => this.sweep(keySpace(request), { pattern, tag }, sweepWish(request, dryRun)));
    respondSweep(request, reply, format, [], sweep);
  }

  /** `DELETE /v1/cache/{key}?pattern=`: as the removal of one entry is answered. */
  async removePattern(request: FastifyRequest, reply: FastifyReply, pattern: string, dryRun = false): Promise<void> {
    const format = responseFormat(request);
    const sweep = await orCacheError(() => this.sweep(keySpace(request), { pattern }, sweepWish(request, dryRun)));
    const headers = ['X-Deleted-Count', sweep.job.deleted, 'X-Deletion-Time', `${elapsedMs(request)}ms`];
    if (sweep.isOver && !dryRun) respond(request, reply, 204, headers);
    else respondSweep(request, reply, format, headers, sweep);
  }

  async invalidate(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const format = responseFormat(request);
    const body = readFields(request, invalidateRequestSchema, 'InvalidateRequest');
    const outcome = await orCacheError(() =>
      this.invalidateAll(keySpace(request), body, sweepWish(request, body.dry_run)),
    );
    const document = { ...outcome, duration_ms: elapsedMs(request) };
    // Counts are those so far where something goes on.
    respondDocument(request, reply, format, outcome.jobs ? 202 : 200, [], document, 'InvalidateResponse');
  }

  async job(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const format = responseFormat(request);
    const { id } = request.params as { id: string };
    const job = await orCacheError(() => this.sweeps.find(keySpace(request).namespace, id));
    respondDocument(request, reply, format, 200, [], job, 'DeletionJob');
  }

  /** Deletes what fits a pattern. For one tag: all entries with it are gone at once, and cleared away after that. */
  async sweep(space: KeySpace, wanted: Wanted, { dryRun, patienceMs }: SweepWish): Promise<Sweep> {
    const { namespace } = space;
    const selection = select(space, wanted);
    const plan = { namespace, selection, wanted, dryRun, patienceMs };
    const { tag } = wanted;
    // Who may touch some of the keys only must not do it to those of others that have the tag.
    if (tag === undefined || dryRun || space.allowedPrefixes.length > 0) return this.sweeps.run(plan);
    const generation = await this.cache.invalidateTag(namespace, tag);
    return this.sweeps.run({
      ...plan,
      ended: ({ attributes }) =>
        attributes?.tags?.some((stamp) => stamp.tag === tag && stamp.generation === generation) ?? false,
    });
  }

  private async page(space: KeySpace, { cursor, limit = DEFAULT_LIMIT, ...wanted }: Partial<ListQuery>) {
    const selection = select(space, wanted);
    const { prefixes } = selection;
    const position = readCursor(cursor, prefixes.length);
    const startedAtMs = performance.now();
    const left = position.left.splice(0, limit).map((name) => space.keyOf(checkedName(name)).full);
    const found = await Promise.all(left.map((key) => this.cache.head(key)));
    const heads = await matching(
      selection,
      found.filter((head) => head !== undefined),
    );
    while (
      position.index < prefixes.length &&
      heads.length < limit &&
      performance.now() - startedAtMs < LIST_PATIENCE_MS
    ) {
      const room = limit - heads.length;
      const page = await this.cache.scan(prefixes[position.index] ?? '', position.after, room);
      const fitting = await matching(selection, page.heads);
      heads.push(...fitting.slice(0, room));
      position.left.push(...fitting.slice(room).map((head) => selection.nameOf(head)));
      position.after = page.cursor;
      if (page.cursor === undefined) position.index++;
    }
    const isLast = position.index === prefixes.length && position.left.length === 0;
    return { keys: heads.map((head) => listed(head, selection)), cursor: isLast ? null : writeCursor(position) };
  }

  private async invalidateAll(space: KeySpace, { keys, tags, pattern, prefix }: InvalidateRequest, wish: SweepWish) {
    const { dryRun } = wish;
    const invalidated: { keys?: number; tags?: number; pattern?: number; prefix?: number } = {};
    const sample: string[] = [];
    const jobs: DeletionJob[] = [];
    // Before anything is done: one that is not allowed must not leave half of it done.
    const names = keys?.map((name) => space.keyOf(checkedName(name)));
    for (const wanted of [{ pattern }, { prefix }]) select(space, wanted);
    if (names) {
      const found = await Promise.all(names.map(({ full }) => this.dropKey(full, dryRun)));
      invalidated.keys = found.filter(Boolean).length;
      sample.push(...names.filter((_, index) => found[index]).map(({ name }) => name));
    }
    const note = (sweep: Sweep) => {
      sample.push(...sweep.sample);
      if (!sweep.isOver) jobs.push(sweep.job);
      return sweep.job.deleted;
    };
    if (tags) {
      const all = await Promise.all(tags.map((tag) => this.dropTag(space, tag, wish, note)));
      invalidated.tags = all.filter(Boolean).length;
    }
    if (pattern !== undefined) invalidated.pattern = note(await this.sweep(space, { pattern }, wish));
    if (prefix !== undefined) invalidated.prefix = note(await this.sweep(space, { prefix }, wish));
    return { invalidated, ...(dryRun && { dry_run: true, sample }), ...(jobs.length > 0 && { jobs }) };
  }

  /** @returns whether there is an entry, or was until now */
  private async dropKey(key: string, dryRun: boolean): Promise<boolean> {
    return dryRun ? (await this.cache.head(key)) !== undefined : this.cache.discard(key);
  }

  /** @returns whether entries had been stored with it */
  private async dropTag(
    space: KeySpace,
    tag: string,
    wish: SweepWish,
    note: (sweep: Sweep) => number,
  ): Promise<boolean> {
    if (!wish.dryRun && space.allowedPrefixes.length === 0)
      return (await this.cache.invalidateTag(space.namespace, tag)) !== undefined;
    return note(await this.sweep(space, { tag }, wish)) > 0;
  }
}

function sweepWish(request: FastifyRequest, dryRun = false): SweepWish {
  return { dryRun, patienceMs: preferences(request).respondAsync ? 0 : SWEEP_PATIENCE_MS };
}

function respondSweep(
  request: FastifyRequest,
  reply: FastifyReply,
  format: BodyFormat,
  headers: HeaderList,
  { job, sample, isOver }: Sweep,
): void {
  const { deleted, pattern, tag, dry_run: dryRun } = job;
  const document = {
    deleted,
    pattern,
    tag,
    ...(dryRun && { dry_run: dryRun, sample }),
    job: isOver ? undefined : job,
    duration_ms: elapsedMs(request),
  };
  respondDocument(request, reply, format, isOver ? 200 : 202, headers, document, 'DeleteResponse');
}

function listed(head: Head, selection: Selection) {
  const expiresAtMs = currentUntilMs(head);
  return {
    key: selection.nameOf(head),
    created_at: isoTime(head.createdAtMs),
    updated_at: isoTime(head.updatedAtMs),
    expires_at: expiresAtMs === 0 ? null : isoTime(expiresAtMs),
    version: versionText(head.version),
    size_bytes: head.attributes?.rawBytes ?? head.storedBytes,
    ...(head.attributes?.tags && { tags: head.attributes.tags.map(({ tag }) => tag) }),
  };
}

/**
 * Where a listing goes on: in which of the prefixes, after which page of the layer. A page of a layer may be larger than
 * was asked for, and cannot be had again in the same order: what there was no room for comes along by name.
 */
interface Position {
  index: number;
  after: string | undefined;
  readonly left: string[];
}

function writeCursor({ index, after, left }: Position): string {
  return Buffer.from(JSON.stringify([index, after ?? null, ...left])).toString('base64url');
}

/** @throws InvalidRequest */
function readCursor(text: string | undefined, prefixes: number): Position {
  if (text === undefined) return { index: 0, after: undefined, left: [] };
  try {
    const [index, after, ...left] = JSON.parse(Buffer.from(text, 'base64url').toString()) as unknown[];
    if (isCount(index) && index <= prefixes && (after === null || typeof after === 'string') && left.every(isText)) {
      return { index, after: after ?? undefined, left };
    }
  } catch {
    // Refused below.
  }
  throw new InvalidRequest([{ path: 'cursor', reason: 'is not one that a page came with' }]);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

async function orCacheError<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw cacheError(error, '');
  }
}
