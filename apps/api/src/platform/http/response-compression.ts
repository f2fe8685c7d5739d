import type { IncomingHttpHeaders } from 'node:http';
import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';

/** Below this, what is saved on the way is less than what compressing costs. */
const MIN_BYTES = 8192;
const GZIP = /(?:^|,)\s*(?:gzip|x-gzip|\*)\s*(?:;\s*q=(?:0\.\d*[1-9]|1)[\d.]*\s*)?(?=,|$)/i;
const COMPRESSED_TYPES =
  /^(?:image\/(?!svg)|audio\/|video\/|font\/woff|application\/(?:zip|gzip|zstd|x-7z|pdf|octet-stream))/i;
const inPool = promisify(gzip);

/** Whether a body of this size is worth being compressed for who asks (RFC 9110, section 12.5.3). */
export function wantsGzip(headers: IncomingHttpHeaders, bytes: number): boolean {
  const accepted = headers['accept-encoding'];
  return bytes >= MIN_BYTES && accepted !== undefined && GZIP.test(accepted);
}

/** Whether bodies of a media type get smaller at all. */
export function isCompressible(contentType: string): boolean {
  return !COMPRESSED_TYPES.test(contentType);
}

/** In the thread pool, and fast rather than small: it is on the way for a moment. */
export function compressBody(body: string | Buffer): Promise<Buffer> {
  return inPool(body, { level: constants.Z_BEST_SPEED });
}
