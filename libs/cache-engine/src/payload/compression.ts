import { isPromise } from 'node:util/types';
import { promisify } from 'node:util';
import { brotliDecompress, crc32, gunzip, gunzipSync, gzip, gzipSync, inflate, inflateRaw } from 'node:zlib';
import {
  compress as lz4Compress,
  compressSync as lz4CompressSync,
  uncompress as lz4Decompress,
  uncompressSync as lz4DecompressSync,
} from 'lz4-napi';
import { DamagedPayload, InflatesTooLarge } from './errors.js';
import { compressZstd, decompressZstd } from './zstd.js';

/** How the payload of an entry may be compressed. */
export const ENTRY_ALGORITHMS = ['lz4', 'zstd', 'gzip'] as const;
export type EntryAlgorithm = (typeof ENTRY_ALGORITHMS)[number];

/** How the body of a request may be compressed (RFC 9110, section 8.4.1; RFC 7932). */
export const REQUEST_ENCODINGS = ['gzip', 'deflate', 'br'] as const;
export type RequestEncoding = (typeof REQUEST_ENCODINGS)[number];

/** The largest value there is: 64 MiB. */
export const MAX_RAW_BYTES = 64 * 1024 * 1024;

/** Every read pays for the decompression: what saves less than an eighth is better kept as it is. */
const MIN_SAVED_FRACTION = 1 / 8;

/**
 * Up to so many uncompressed bytes the work is done at once, above them in the thread pool, the way to which costs 45 us
 * a call. At its limit each holds the event loop for about 100 us (AMD EPYC, Node.js 20).
 */
const SYNC_BYTES = { lz4: 64 * 1024, gzip: 16 * 1024, gunzip: 64 * 1024 } as const;

const CHECKSUM_BYTES = 4;
const LZ4_LENGTH_BYTES = 4;
const MIN_CHUNK_BYTES = 64;
const MAX_CHUNK_BYTES = 64 * 1024;

const gzipInPool = promisify(gzip);
const gunzipInPool = promisify(gunzip);
const INFLATERS = { gzip: gunzipInPool, deflate: promisify(inflate), br: promisify(brotliDecompress) } as const;
const inflateRawInPool = promisify(inflateRaw);

/**
 * Compresses a payload; small ones at once, others without holding up the event loop. Undefined when it does not pay:
 * less than an eighth would be saved.
 *
 * LZ4 (a block after its length, `u32` little-endian) and zstd (see `compressZstd`) have no checksum of their own and
 * follow a CRC-32 of what is stored; gzip (RFC 1952) has one.
 *
 * @param bytes must not change before the result is there
 */
export function compress(bytes: Buffer, algorithm: EntryAlgorithm): Buffer | undefined | Promise<Buffer | undefined> {
  const longestBytes = Math.floor(bytes.length * (1 - MIN_SAVED_FRACTION));
  const ifItPays = (compressed: Buffer) => (compressed.length <= longestBytes ? compressed : undefined);
  switch (algorithm) {
    case 'lz4':
      return whenDone(compressLz4(bytes), (body) => ifItPays(withChecksum(body)));
    case 'zstd':
      return compressZstd(bytes).then((body) => ifItPays(withChecksum(body)));
    case 'gzip':
      return whenDone(compressGzip(bytes), (body) => ifItPays(ownBuffer(body)));
  }
}

/**
 * What `compress` was given. Never allocates more than `rawBytes` for it, whatever the compressed bytes say.
 *
 * @param rawBytes how long it was
 * @throws InflatesTooLarge (or rejects with it) when `rawBytes` is above `maxBytes`, or the compressed bytes are found to
 *   hold more than `rawBytes`
 * @throws DamagedPayload (or rejects with it) when they are not what `compress` gave
 */
export function decompress(
  bytes: Buffer,
  algorithm: EntryAlgorithm,
  rawBytes: number,
  maxBytes = MAX_RAW_BYTES,
): Buffer | Promise<Buffer> {
  if (rawBytes > maxBytes) throw new InflatesTooLarge(maxBytes);
  switch (algorithm) {
    case 'lz4':
      return decompressLz4(checked(bytes), rawBytes);
    case 'zstd':
      return decompressZstd(checked(bytes), rawBytes);
    case 'gzip':
      return decompressGzip(bytes, rawBytes);
  }
}

/**
 * The body of a request without its content coding; in the thread pool, as a small body may inflate to a large one.
 * `deflate` is the zlib format (RFC 9110, section 8.4.1.2) or, as some clients have it, bare deflate.
 *
 * @param maxBytes that the body may have at most, from 1; Brotli needs up to 16 MiB more for its window (RFC 7932)
 * @throws InflatesTooLarge when it has more, once that is known: no more than `maxBytes` are ever produced
 * @throws DamagedPayload when the body is not in this coding, or cut short
 */
export async function inflateRequestBody(bytes: Buffer, encoding: RequestEncoding, maxBytes: number): Promise<Buffer> {
  const inflater = encoding === 'deflate' && !hasZlibHeader(bytes) ? inflateRawInPool : INFLATERS[encoding];
  try {
    return await inflater(bytes, { maxOutputLength: maxBytes });
  } catch (error) {
    throw inflationFailure(error, maxBytes);
  }
}

function compressLz4(bytes: Buffer): Buffer | Promise<Buffer> {
  return bytes.length <= SYNC_BYTES.lz4 ? lz4CompressSync(bytes) : lz4Compress(bytes);
}

/** The decoder takes the length that stands before the block for the room it may fill, and never fills more. */
function decompressLz4(block: Buffer, rawBytes: number): Buffer | Promise<Buffer> {
  if (block.length < LZ4_LENGTH_BYTES) throw new DamagedPayload();
  const claimedBytes = block.readUInt32LE();
  if (claimedBytes > rawBytes) throw new InflatesTooLarge(rawBytes);
  if (claimedBytes < rawBytes) throw new DamagedPayload();
  const failed = (error: unknown) => new DamagedPayload({ cause: error });
  return attempt(
    () => (rawBytes <= SYNC_BYTES.lz4 ? lz4DecompressSync(block) : lz4Decompress(block)),
    rawBytes,
    failed,
  );
}

function compressGzip(bytes: Buffer): Buffer | Promise<Buffer> {
  const options = { chunkSize: chunkBytes(bytes.length) };
  return bytes.length <= SYNC_BYTES.gzip ? gzipSync(bytes, options) : gzipInPool(bytes, options);
}

function decompressGzip(bytes: Buffer, rawBytes: number): Buffer | Promise<Buffer> {
  // A byte more than needed, so that zlib sees the end without a second chunk.
  const options = { maxOutputLength: Math.max(rawBytes, 1), chunkSize: chunkBytes(rawBytes + 1) };
  const failed = (error: unknown) => inflationFailure(error, rawBytes);
  return attempt(
    () => (rawBytes <= SYNC_BYTES.gunzip ? gunzipSync(bytes, options) : gunzipInPool(bytes, options)),
    rawBytes,
    failed,
  );
}

/** By default zlib begins with 16 KiB, which for a small value takes longer than the rest. */
function chunkBytes(expectedBytes: number): number {
  return Math.min(Math.max(expectedBytes, MIN_CHUNK_BYTES), MAX_CHUNK_BYTES);
}

function attempt(
  decoder: () => Buffer | Promise<Buffer>,
  rawBytes: number,
  failed: (error: unknown) => Error,
): Buffer | Promise<Buffer> {
  const complete = (raw: Buffer) => {
    if (raw.length !== rawBytes) throw new DamagedPayload();
    return ownBuffer(raw);
  };
  const fail = (error: unknown) => {
    throw failed(error);
  };
  let decoded: Buffer | Promise<Buffer>;
  try {
    decoded = decoder();
  } catch (error) {
    return fail(error);
  }
  return isPromise(decoded) ? decoded.then(complete, fail) : complete(decoded);
}

function inflationFailure(error: unknown, limitBytes: number): Error {
  const tooLarge = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
  return tooLarge ? new InflatesTooLarge(limitBytes, { cause: error }) : new DamagedPayload({ cause: error });
}

/** RFC 1950, section 2.2: method 8, and as a big-endian number a multiple of 31. */
function hasZlibHeader(bytes: Buffer): boolean {
  return bytes.length >= 2 && (bytes.readUInt8() & 0x0f) === 8 && bytes.readUInt16BE() % 31 === 0;
}

/** Of what is stored, not of what it was made from: that is shorter, and the decoders get nothing damaged. */
function withChecksum(body: Buffer): Buffer {
  const bytes = Buffer.allocUnsafeSlow(CHECKSUM_BYTES + body.length);
  bytes.writeUInt32BE(crc32(body));
  body.copy(bytes, CHECKSUM_BYTES);
  return bytes;
}

function checked(bytes: Buffer): Buffer {
  const body = bytes.subarray(CHECKSUM_BYTES);
  if (bytes.length < CHECKSUM_BYTES || bytes.readUInt32BE() !== crc32(body)) throw new DamagedPayload();
  return body;
}

/** Results of zlib are views of larger buffers, which they would keep from being freed. */
function ownBuffer(bytes: Buffer): Buffer {
  if (bytes.buffer.byteLength === bytes.length) return bytes;
  const own = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(own);
  return own;
}

// Not by instanceof: a promise of native code may be of another realm.
function whenDone<T, R>(value: T | Promise<T>, next: (value: T) => R): R | Promise<R> {
  return isPromise(value) ? value.then(next) : next(value);
}
