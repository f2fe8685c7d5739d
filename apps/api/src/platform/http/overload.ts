import type { IncomingMessage, Server } from 'node:http';
import { Injectable } from '@nestjs/common';
import { LiveConfig } from '../live-config.js';
import { log } from '../logging.js';
import { Traffic } from '../traffic.js';
import { noteArrival } from './arrival.js';
import { hasBody, InFlight } from './in-flight.js';
import { closeWithConnection } from './queued-responses.js';
import { refuse } from './refusal.js';
import { RefusalPace } from './refusal-pace.js';
import { handOn } from './request-listeners.js';
import { StartQueue } from './start-queue.js';

const MEBIBYTE = 1024 * 1024;
/** So many requests at the same time are always taken: a pause for garbage is not taken for a crowd. */
const CROWD = 64;
const LOOK_MS = 20;
/** Of each measurement of the delay. */
const WEIGHT = 0.3;
const CUT = 0.7;
/** From the least to the most in two seconds. */
const STEPS = 100;
const LOG_MS = 1000;
/** So many times the requests in flight may have a body that has not come: they may all come at once. */
const BODIES_PER_PLACE = 4;

/** Of the memory that bodies may take: up to here they are only refused, and what is on its way may still come. */
const BODIES_CUT_AT = 1.25;

const HEALTH = /^\/health\/(?:live|ready)(?:\?|$)/;
const OPERATORS = /^\/v1\/(?:admin|config|monitor)(?:[/?]|$)/;

/**
 * Refuses work beyond what the node can do, before anything is done for it; so a refusal is cheap, and comes at once.
 *
 * - So many requests may be in flight. Fewer by a factor while the event loop is late, more by a step while it is not
 *   (AIMD: Chiu and Jain 1989), so that nobody needs to know what a request costs.
 * - What the event loop has not begun would lie unread in connections, where nobody counts it. So it begins no more in a
 *   turn than takes a few milliseconds; the others wait in a queue, and are refused when it is too long.
 * - Bodies may take so much memory. Who comes with one is refused then; when those that were let in before take too much
 *   all the same, the newest of them are cut off. What a head declares is held against nobody, or a few heads would keep
 *   all bodies out.
 *
 * Operators are let in where others are not, and health checks always; but nobody with a body that has no room.
 */
@Injectable()
export class Overload {
  private readonly inFlight = new InFlight();
  private readonly queue = new StartQueue();
  private readonly pace = new RefusalPace();
  private maxInFlight = Infinity;
  private maxDelayMs = Infinity;
  private maxBodyBytes = Infinity;
  /** Of those in flight, at present. */
  private limit = CROWD;
  private delayMs = 0;
  private nextLookAt = performance.now() + LOOK_MS;
  private bodyBytes = 0;
  private refused = 0;
  private cutOff = 0;
  private toldAt = -LOG_MS;

  constructor(
    config: LiveConfig,
    private readonly traffic: Traffic,
  ) {
    config.follow(({ server: { overload } }) => {
      this.limit = this.maxInFlight = overload.max_in_flight;
      this.maxDelayMs = overload.max_event_loop_delay_ms;
      this.maxBodyBytes = overload.max_body_mb * MEBIBYTE;
    });
  }

  /** Puts the check before whatever listens for the requests of a server. */
  open(server: Server): void {
    const begin = handOn(server, (request, response) => {
      if (this.isTooMuch(request)) {
        this.refused++;
        this.traffic.record(503, 0);
        this.pace.refusing(request.socket, response);
        refuse(request, response);
        return true;
      }
      this.pace.taken(request.socket);
      closeWithConnection(request, response);
      this.inFlight.add(request, response);
      if (this.queue.beginsNow()) return false;
      const { url = '' } = request;
      // Not past an earlier request of the same connection (RFC 9112, section 9.3.2).
      const isUrgent = response.socket !== null && (HEALTH.test(url) || OPERATORS.test(url));
      noteArrival(request);
      this.queue.add(() => {
        if (!response.destroyed) begin(request, response);
      }, isUrgent);
      return true;
    });
    const watch = setInterval(() => this.look(), LOOK_MS).unref();
    server.once('close', () => clearInterval(watch));
  }

  private isTooMuch(request: IncomingMessage): boolean {
    if (this.hasNoRoomForBodies() && hasBody(request)) return true;
    const { count } = this.inFlight;
    if (count < this.limit && !this.isQueueTooLong()) return false;
    const { url = '', method } = request;
    if (HEALTH.test(url)) return method !== 'GET' && method !== 'HEAD';
    return !(OPERATORS.test(url) && count < 2 * this.maxInFlight);
  }

  private hasNoRoomForBodies(): boolean {
    return this.bodyBytes >= this.maxBodyBytes || this.inFlight.bodies >= BODIES_PER_PLACE * this.maxInFlight;
  }

  private isQueueTooLong(): boolean {
    return this.queue.length >= CROWD && this.queue.waitMs > this.maxDelayMs;
  }

  private look(): void {
    const now = performance.now();
    const lateMs = Math.max(0, now - this.nextLookAt);
    this.nextLookAt = now + LOOK_MS;
    this.delayMs += WEIGHT * (lateMs - this.delayMs);
    this.limit = this.nextLimit();
    this.bodyBytes = this.inFlight.bodyBytes();
    const excessBytes = this.bodyBytes - BODIES_CUT_AT * this.maxBodyBytes;
    if (excessBytes > 0) this.cutOff += this.inFlight.cut(excessBytes);
    if (this.refused + this.cutOff > 0 && now - this.toldAt >= LOG_MS) this.tell(now);
  }

  private nextLimit(): number {
    const { limit, maxInFlight, inFlight } = this;
    if (this.delayMs <= this.maxDelayMs) return Math.min(maxInFlight, limit + Math.ceil(maxInFlight / STEPS));
    return Math.min(maxInFlight, Math.max(CROWD, Math.floor(Math.min(limit, inFlight.count) * CUT)));
  }

  private tell(now: number): void {
    const { refused, cutOff, delayMs, bodyBytes, inFlight } = this;
    const about = { in_flight: inFlight.count, event_loop_delay_ms: Math.round(delayMs), body_bytes: bodyBytes };
    log.warn({ refused, cut_off: cutOff, ...about }, 'overloaded: requests were refused');
    this.refused = this.cutOff = 0;
    this.toldAt = now;
  }
}
