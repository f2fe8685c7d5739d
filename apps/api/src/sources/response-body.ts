import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress, createGunzip } from 'node:zlib';

const DECODERS = { gzip: createGunzip, 'x-gzip': createGunzip, br: createBrotliDecompress } as const;

/** The codings that `readBody` takes off. */
export const ACCEPT_ENCODING = 'gzip, br';

export class BodyTooLarge extends Error {}
export class UnknownEncoding extends Error {}

/**
 * Reads an answer, decompressed. It is never held beyond `maxBytes`, however little it was before decompression.
 *
 * @param body read to its end or destroyed afterwards, except where its encoding is unknown
 * @param encoding Content-Encoding of the answer
 * @throws BodyTooLarge, UnknownEncoding, what zlib throws on what it cannot read, what the connection fails with
 */
export async function readBody(body: Readable, encoding: string | undefined, maxBytes: number): Promise<Buffer> {
  const coding = (encoding ?? 'identity').trim().toLowerCase();
  const collected: Buffer[] = [];
  let bytes = 0;
  const collect = async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw new BodyTooLarge();
      collected.push(chunk);
    }
  };
  try {
    if (coding === 'identity' || coding === '') await pipeline(body, collect);
    else if (!Object.hasOwn(DECODERS, coding)) throw new UnknownEncoding(coding);
    else await pipeline(body, DECODERS[coding as keyof typeof DECODERS](), collect);
  } catch (error) {
    // Of a pipeline that was left at its end, the streams before it may be the first to fail.
    throw bytes > maxBytes ? new BodyTooLarge('too many bytes', { cause: error }) : error;
  }
  return Buffer.concat(collected, bytes);
}
