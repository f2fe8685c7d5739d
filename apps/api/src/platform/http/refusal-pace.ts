import type { Socket } from 'node:net';

/** A refusal takes about a fiftieth of a millisecond, so that all of them take a tenth of a core. */
const REFUSALS_PER_MS = 5;
/** The least that they are told to wait: who does so never meets this. */
const LONGEST_PAUSE_MS = 1000;
/** Not worth a timer. */
const SHORTEST_PAUSE_MS = 5;

/**
 * Keeps refusals from taking the time that is left for work. A connection that was refused is not read from for a while
 * when there are more of them than a node can afford to refuse; what it sends meanwhile waits with the system.
 */
export class RefusalPace {
  private refused: Socket[] = [];
  private affordedAt = 0;

  add(socket: Socket): void {
    this.refused.push(socket);
    // Node begins to read again at the end of the request, so not before that.
    if (this.refused.length === 1) setImmediate(() => this.pause());
  }

  private pause(): void {
    const sockets = this.refused;
    this.refused = [];
    const now = performance.now();
    const latest = now + LONGEST_PAUSE_MS;
    this.affordedAt = Math.min(latest, Math.max(now, this.affordedAt) + sockets.length / REFUSALS_PER_MS);
    const pauseMs = this.affordedAt - now;
    if (pauseMs < SHORTEST_PAUSE_MS) return;
    for (const socket of sockets) socket.pause();
    setTimeout(() => {
      for (const socket of sockets) socket.resume();
    }, pauseMs).unref();
  }
}
