import type { FastifyRequest } from 'fastify';

const WAIT = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,4})"?\s*(?=[,;]|$)/i;
const RESPOND_ASYNC = /(?:^|[,;])\s*respond-async\s*(?=[,;]|$)/i;

/** How a caller would like to be answered: RFC 7240, sections 4.1 and 4.3. */
export interface Preferences {
  /** Undefined: nothing was said. */
  readonly waitSeconds: number | undefined;
  /** What takes long is to be answered at once, before it is done. */
  readonly respondAsync: boolean;
}

export function preferences({ headers }: FastifyRequest): Preferences {
  const text = [headers.prefer ?? ''].flat().join();
  const [, seconds] = WAIT.exec(text) ?? [];
  return { waitSeconds: seconds === undefined ? undefined : Number(seconds), respondAsync: RESPOND_ASYNC.test(text) };
}
