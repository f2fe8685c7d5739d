import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { ChangeFeed, type FeedReader } from '@cache-system/cache-engine';
import { eventsQuerySchema, type NoticeEvent } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AccessGuard } from '../auth/access.guard.js';
import { caller } from '../auth/caller.js';
import type { Principal } from '../auth/principal.js';
import { Drain } from '../platform/drain.js';
import { ApiError } from '../platform/http/api-error.js';
import { beginEventStream, endEventStream } from '../platform/http/event-stream.js';
import { query } from '../platform/http/query.js';
import { LiveConfig } from '../platform/live-config.js';
import { log } from '../platform/logging.js';
import { keySpace } from './cache-key.js';
import { type EventView, eventView, noticeText } from './event-view.js';

/** What a stream waits for at its start, so that it begins with what is promised, and not for ever. */
const LISTEN_PATIENCE_MS = 1000;
/** So often credentials are looked at, and whether a reader reads. */
const CHECK_INTERVAL_MS = 1000;
/** A reader that has taken so little is not written to: what comes waits in the feed, where it is kept once for all. */
const MAX_UNREAD_BYTES = 64 * 1024;
const MAX_STALLED_MS = 30_000;
/** For a reader to take the last that there is. */
const OVERFLOW_PATIENCE_MS = 30_000;
const END_PATIENCE_MS = 1000;
const RECONNECT_MS = 1000;

interface Stream {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly raw: ServerResponse;
  readonly principal: Principal;
  readonly view: EventView;
  readonly reader: FeedReader;
  sentAtMs: number;
  /** Since when the reader has taken nothing of what waits; undefined while it does. */
  stalledSinceMs: number | undefined;
}

/** Changes of entries as server-sent events, on whichever node they are made. */
@Injectable()
export class CacheEvents {
  private readonly streams = new Set<Stream>();
  /** Their readers may take the last event yet. */
  private readonly ending = new Set<ServerResponse>();
  private hasWarned = false;

  constructor(
    private readonly feed: ChangeFeed,
    private readonly guard: AccessGuard,
    private readonly drain: Drain,
    private readonly config: LiveConfig,
  ) {
    drain.onBegin(() => {
      for (const raw of this.ending) raw.destroy();
      for (const stream of [...this.streams]) this.end(stream, 'end', 'node_stopping', END_PATIENCE_MS);
    });
  }

  /** @throws InvalidRequest, ApiError RATE_LIMIT_EXCEEDED, SERVICE_OVERLOADED before anything is sent */
  async stream(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const view = eventView(keySpace(request), query(eventsQuerySchema, request).prefix);
    const principal = caller(request);
    await this.listen();
    this.requireRoom(principal);
    const raw = beginEventStream(request, reply);
    if (request.method === 'HEAD') raw.end();
    else this.begin({ request, reply, raw, principal, view });
  }

  private begin(parts: Pick<Stream, 'request' | 'reply' | 'raw' | 'principal' | 'view'>): void {
    const { request, raw } = parts;
    const after = [request.headers['last-event-id']].flat()[0];
    const reader = this.feed.open(after === '' ? undefined : after, () => this.pump(stream));
    const stream: Stream = { ...parts, reader, sentAtMs: performance.now(), stalledSinceMs: undefined };
    this.streams.add(stream);
    raw.on('drain', () => this.pump(stream));
    raw.once('close', () => this.leave(stream));
    // Its reader may have gone before anything was listened to.
    if (raw.destroyed) this.leave(stream);
    const position = reader.position();
    raw.write(`retry: ${RECONNECT_MS}\n\n`);
    if (!reader.isResumed) raw.write(noticeText('reset', 'position_unknown', position));
    else if (position !== undefined) raw.write(`id: ${position}\n\n`);
    this.pump(stream);
    void this.watchOver(stream);
  }

  /** What comes late is missing at the start of the stream only. */
  private async listen(): Promise<void> {
    const given = new AbortController();
    const tooLate = sleep(LISTEN_PATIENCE_MS, true, { signal: given.signal }).catch(() => false);
    const isLate = await Promise.race([this.feed.listen(), tooLate]);
    given.abort();
    if (isLate !== true || this.hasWarned) return;
    this.hasWarned = true;
    log.warn('it takes long to listen for expiries: may the user of Redis subscribe to __keyevent@*__:expired?');
  }

  /** @throws ApiError RATE_LIMIT_EXCEEDED, SERVICE_OVERLOADED */
  private requireRoom({ id }: Principal): void {
    if (this.drain.draining) {
      throw new ApiError('SERVICE_OVERLOADED', { reason: 'the node stops' }, { headers: { 'Retry-After': '1' } });
    }
    const { max_streams: limit } = this.config.current.cache.events;
    const open = [...this.streams].filter(({ principal }) => principal.id === id).length;
    if (open < limit) return;
    const message = 'These credentials have too many streams of events open on this node';
    throw new ApiError('RATE_LIMIT_EXCEEDED', { max_streams: limit }, { message });
  }

  /** Sends what there is, as far as it is read. */
  private pump(stream: Stream): void {
    const { raw, reader, view } = stream;
    if (!this.streams.has(stream)) return;
    let text = '';
    while (raw.writableLength + text.length < MAX_UNREAD_BYTES) {
      if (reader.isLost()) {
        raw.write(text);
        this.end(stream, 'overflow', 'too_slow', OVERFLOW_PATIENCE_MS);
        return;
      }
      const event = reader.next();
      if (!event) break;
      text += view(event);
    }
    stream.stalledSinceMs =
      raw.writableLength < MAX_UNREAD_BYTES ? undefined : (stream.stalledSinceMs ?? performance.now());
    if (text === '') return;
    stream.sentAtMs = performance.now();
    raw.write(text);
  }

  private async watchOver(stream: Stream): Promise<void> {
    while (this.streams.has(stream)) {
      await sleep(CHECK_INTERVAL_MS, undefined, { ref: false });
      if (this.streams.has(stream)) await this.check(stream);
    }
  }

  private async check(stream: Stream): Promise<void> {
    const { raw, reader } = stream;
    if (!(await this.isStillAllowed(stream))) {
      this.end(stream, 'end', 'not_authorized', END_PATIENCE_MS);
      return;
    }
    this.pump(stream);
    if (!this.streams.has(stream)) return;
    const nowMs = performance.now();
    if (nowMs - (stream.stalledSinceMs ?? nowMs) > MAX_STALLED_MS || reader.isLost()) {
      this.end(stream, 'overflow', 'too_slow', OVERFLOW_PATIENCE_MS);
    } else if (nowMs - stream.sentAtMs >= this.config.current.cache.events.heartbeat * 1000) {
      // What was seen of others moves the reader on as well: it need not begin where its own last event was.
      const position = reader.position();
      stream.sentAtMs = nowMs;
      raw.write(position === undefined ? ':\n\n' : `:\nid: ${position}\n\n`);
    }
  }

  /** By the credential as it is now, and to the same keys. */
  private async isStillAllowed({ request, reply, principal }: Stream): Promise<boolean> {
    try {
      const { namespace, keyPrefixes } = await this.guard.recheck(request, reply, 'cache:read');
      return namespace === principal.namespace && JSON.stringify(keyPrefixes) === JSON.stringify(principal.keyPrefixes);
    } catch {
      return false;
    }
  }

  private end(stream: Stream, event: 'overflow' | 'end', reason: NoticeEvent['reason'], patienceMs: number): void {
    const { raw } = stream;
    if (!this.leave(stream)) return;
    this.ending.add(raw);
    raw.once('close', () => this.ending.delete(raw));
    endEventStream(raw, noticeText(event, reason), patienceMs);
  }

  private leave(stream: Stream): boolean {
    const isOpen = this.streams.delete(stream);
    if (isOpen) stream.reader.close();
    return isOpen;
  }
}
