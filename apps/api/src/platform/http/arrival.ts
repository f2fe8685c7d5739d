import type { IncomingMessage } from 'node:http';

/** Only of those that wait before they begin: for all others it is now. */
const ARRIVED_AT = Symbol('arrived at');
type Noted = IncomingMessage & { [ARRIVED_AT]?: number };

/** To be called for a request that waits before anything is done for it. */
export function noteArrival(request: Noted): void {
  request[ARRIVED_AT] = performance.now();
}

/** When a request came that begins now, by `performance.now()`. */
export function arrivedAt(request: Noted): number {
  return request[ARRIVED_AT] ?? performance.now();
}
