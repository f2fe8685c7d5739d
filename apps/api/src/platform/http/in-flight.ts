import type { IncomingMessage, ServerResponse } from 'node:http';

/** Set on a response that counts. */
const COUNTED = Symbol('in flight');
type Counted = ServerResponse & { [COUNTED]?: InFlight | undefined };

/** What Node reads from a connection at once. */
const READ_BYTES = 65_536;

/**
 * The requests that a node works on. One whose body is still on its way is no work yet, or slow senders could keep
 * everybody out; neither is a stream that has begun.
 */
export class InFlight {
  count = 0;
  /** Requests with a body that are not answered yet, and what their connection had read when they came. */
  private readonly withBody = new Map<IncomingMessage, number>();

  add(request: IncomingMessage, response: ServerResponse): void {
    if (!hasBody(request)) {
      this.begin(response);
      return;
    }
    this.withBody.set(request, request.socket.bytesRead);
    request.once('end', () => {
      if (!response.destroyed) this.begin(response);
    });
    response.once('close', () => this.withBody.delete(request));
  }

  /** Requests with a body that are not answered yet, whether it has come or not. */
  get bodies(): number {
    return this.withBody.size;
  }

  /** Bytes of bodies that have come and are not answered yet. */
  bodyBytes(): number {
    let total = 0;
    for (const [request, before] of this.withBody) total += heldBytes(request, before);
    return total;
  }

  /**
   * Ends the connections whose body has not come as a whole, the newest first, until so many bytes are given back.
   * @returns how many
   */
  cut(bytes: number): number {
    let left = bytes;
    let ended = 0;
    for (const [request, before] of [...this.withBody].reverse()) {
      if (left <= 0) break;
      if (request.complete) continue;
      left -= heldBytes(request, before);
      request.socket.destroy();
      ended++;
    }
    return ended;
  }

  private begin(response: Counted): void {
    this.count++;
    response[COUNTED] = this;
    response.once('close', finished);
  }
}

/** To be called for a response that goes on as a stream. */
export function countsNoMore(response: ServerResponse): void {
  if ((response as Counted)[COUNTED]) finished.call(response);
}

export function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'];
  return (length !== undefined && length !== '0') || headers['transfer-encoding'] !== undefined;
}

/** At most: the first bytes came together with the head, nobody knows how many. */
function heldBytes({ headers, socket }: IncomingMessage, before: number): number {
  return Math.min(Number(headers['content-length'] ?? Infinity), READ_BYTES + socket.bytesRead - before);
}

function finished(this: Counted): void {
  const inFlight = this[COUNTED];
  if (!inFlight) return;
  inFlight.count--;
  this[COUNTED] = undefined;
}
