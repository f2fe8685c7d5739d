import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { countsNoMore } from './in-flight.js';
import { commonHeaders } from './respond.js';

/** For so long a reader may take nothing before its connection is closed. */
const PATIENCE_MS = 30_000;

/**
 * Sends lines of JSON as fast as they are taken and holds a part or two of them at a time. Nothing is sent when the
 * first part fails; when a later one does, the connection ends before the response does, so that nobody takes what came
 * for the whole.
 *
 * @param parts each of whole lines
 */
export async function sendLines(
  request: FastifyRequest,
  reply: FastifyReply,
  parts: AsyncGenerator<string, void, undefined>,
  fileName: string,
): Promise<void> {
  const first = request.method === 'HEAD' ? undefined : await parts.next();
  const { raw } = reply;
  reply.hijack();
  raw.writeHead(200, {
    ...commonHeaders(request),
    'Content-Type': 'application/x-ndjson',
    'Content-Disposition': `attachment; filename="${fileName}"`,
    'Cache-Control': 'no-store',
  });
  request.answeredAt = performance.now();
  if (first === undefined) return void raw.end();
  countsNoMore(raw);
  raw.setTimeout(PATIENCE_MS, () => raw.destroy());
  const text = async function* () {
    if (!first.done) yield first.value;
    yield* parts;
  };
  try {
    await pipeline(Readable.from(text(), { highWaterMark: 1 }), raw);
  } catch (error) {
    // Who does not want the rest is no failure of ours.
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
}
