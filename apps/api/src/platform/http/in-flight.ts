import type { IncomingMessage, ServerResponse } from 'node:http';

/** Set on a response that counts. */
const COUNTED = Symbol('in flight');
type Counted = ServerResponse & { [COUNTED]?: InFlight | undefined };

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
      if (!response.closed) this.begin(response);
    });
    response.once('close', () => this.withBody.delete(request));
  }

  /** Bytes of bodies that have come and are not answered yet. */
  bodyBytes(): number {
    let total = 0;
    for (const [{ socket }, before] of this.withBody) total += socket.bytesRead - before;
    return total;
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

function finished(this: Counted): void {
  const inFlight = this[COUNTED];
  if (!inFlight) return;
  inFlight.count--;
  this[COUNTED] = undefined;
}
