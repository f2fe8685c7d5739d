import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** With what has to be read for it, a refusal takes about a twentieth of a millisecond: all of them take a tenth of a core. */
const REFUSALS_PER_MS = 2;
/** The least that they are told to wait: who does so never meets this. */
const LONGEST_PAUSE_MS = 1000;
/** Not worth a timer. */
const SHORTEST_PAUSE_MS = 5;
/** A connection that was refused so often is better made anew, where another node may take it. */
const REFUSALS_PER_CONNECTION = 100;

/**
 * Keeps refusals from taking the time that is left for work. A connection that was refused is not read from for a while
 * when there are more of them than a node can afford to refuse; what it sends meanwhile waits with the system. One that
 * carries anything else is left alone.
 */
export class RefusalPace {
  private readonly refused = new Set<Socket>();
  private readonly counts = new WeakMap<Socket, number>();
  private refusals = 0;
  private affordedAt = 0;

  /** To be called before a request is refused. */
  refusing(socket: Socket, response: ServerResponse): void {
    const count = (this.counts.get(socket) ?? 0) + 1;
    this.counts.set(socket, count);
    if (count >= REFUSALS_PER_CONNECTION) response.setHeader('Connection', 'close');
    // Node begins to read again at the end of the request, so not before that.
    if (this.refusals++ === 0) setImmediate(() => this.pause());
    // Without a socket it waits behind a request that was not refused.
    if (response.socket !== null) this.refused.add(socket);
  }

  /** To be called for a request that is not refused. */
  taken(socket: Socket): void {
    this.refused.delete(socket);
  }

  private pause(): void {
    const sockets = [...this.refused];
    this.refused.clear();
    const now = performance.now();
    const latest = now + LONGEST_PAUSE_MS;
    this.affordedAt = Math.min(latest, Math.max(now, this.affordedAt) + this.refusals / REFUSALS_PER_MS);
    this.refusals = 0;
    const pauseMs = this.affordedAt - now;
    if (pauseMs < SHORTEST_PAUSE_MS) return;
    for (const socket of sockets) socket.pause();
    setTimeout(() => {
      for (const socket of sockets) socket.resume();
    }, pauseMs).unref();
  }
}
