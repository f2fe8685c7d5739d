import { setImmediate as nextTurn } from 'node:timers/promises';
import * as zlib from 'node:zlib';
import { DamagedPayload } from './errors.js';

/** What is done at once: 250 us to compress, 110 to 150 us to decompress (AMD EPYC, Node.js 20). */
const CHUNK_BYTES = 128 * 1024;
/** More than a frame is ever longer than its chunk (`ZSTD_compressBound`). */
const MAX_FRAME_OVERHEAD_BYTES = 1024;
const LENGTH_BYTES = 4;
const LEVEL = 3;

/** Frames of zstd (RFC 8878), each of one chunk. Both throw what they will when they cannot. */
interface FrameCodec {
  compress(chunk: Buffer): Buffer;
  /** @param rawBytes the frame may have at most */
  decompress(frame: Buffer, rawBytes: number): Buffer;
}

/** What `node:zlib` has from Node.js 22.15 and 23.8 on. */
interface NativeZstd {
  zstdCompressSync(bytes: Buffer, options: NativeOptions): Buffer;
  zstdDecompressSync(bytes: Buffer, options: NativeOptions): Buffer;
}

interface NativeOptions {
  readonly params: Readonly<Record<number, number>>;
  readonly chunkSize: number;
  readonly maxOutputLength?: number;
}

/** `ZSTD_c_compressionLevel` and `ZSTD_d_windowLogMax` of zstd.h. */
const PARAMETERS = { compressionLevel: 100, windowLogMax: 100 } as const;
const CHUNK_LOG = 17;

let loading: Promise<FrameCodec> | undefined;

/**
 * Compresses in chunks of 128 KiB, between which others have their turn. Gives for each chunk a zstd frame after its
 * length (`u32`, big-endian). Chunks cost next to no compression, and keep the memory of WebAssembly small, which only
 * ever grows.
 */
export async function compressZstd(bytes: Buffer): Promise<Buffer> {
  const codec = await frameCodec();
  const parts: Buffer[] = [];
  for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
    if (start > 0) await nextTurn();
    const frame = codec.compress(bytes.subarray(start, start + CHUNK_BYTES));
    const length = Buffer.allocUnsafe(LENGTH_BYTES);
    length.writeUInt32BE(frame.length);
    parts.push(length, frame);
  }
  return Buffer.concat(parts);
}

/**
 * What `compressZstd` was given. Needs the room for `rawBytes` and a chunk.
 * @throws DamagedPayload when the bytes do not hold exactly so many
 */
export async function decompressZstd(bytes: Buffer, rawBytes: number): Promise<Buffer> {
  const codec = await frameCodec();
  const raw = Buffer.allocUnsafeSlow(rawBytes);
  let at = 0;
  for (let start = 0; start < rawBytes; start += CHUNK_BYTES) {
    if (start > 0) await nextTurn();
    const frame = frameAt(bytes, at);
    decompressFrame(codec, frame, Math.min(CHUNK_BYTES, rawBytes - start)).copy(raw, start);
    at += LENGTH_BYTES + frame.length;
  }
  if (at !== bytes.length) throw new DamagedPayload();
  return raw;
}

function frameAt(bytes: Buffer, at: number): Buffer {
  if (at + LENGTH_BYTES > bytes.length) throw new DamagedPayload();
  const start = at + LENGTH_BYTES;
  const frameBytes = bytes.readUInt32BE(at);
  if (frameBytes > CHUNK_BYTES + MAX_FRAME_OVERHEAD_BYTES || start + frameBytes > bytes.length)
    throw new DamagedPayload();
  return bytes.subarray(start, start + frameBytes);
}

function decompressFrame(codec: FrameCodec, frame: Buffer, rawBytes: number): Buffer {
  let chunk: Buffer;
  try {
    chunk = codec.decompress(frame, rawBytes);
  } catch (error) {
    throw new DamagedPayload({ cause: error });
  }
  if (chunk.length !== rawBytes) throw new DamagedPayload();
  return chunk;
}

function frameCodec(): Promise<FrameCodec> {
  return (loading ??=
    'zstdCompressSync' in zlib ? Promise.resolve(nativeCodec(zlib as unknown as NativeZstd)) : wasmCodec());
}

function nativeCodec(native: NativeZstd): FrameCodec {
  const compression = { [PARAMETERS.compressionLevel]: LEVEL };
  // The window is allocated as the frame asks for it, up to 128 MiB unless told otherwise.
  const decompression = { [PARAMETERS.windowLogMax]: CHUNK_LOG };
  return {
    compress: (chunk) => native.zstdCompressSync(chunk, { params: compression, chunkSize: outputBytes(chunk.length) }),
    decompress: (frame, rawBytes) =>
      native.zstdDecompressSync(frame, {
        params: decompression,
        chunkSize: outputBytes(rawBytes + 1),
        maxOutputLength: rawBytes,
      }),
  };
}

/** By default zlib begins with 16 KiB, which for a small value takes longer than the rest; it has to be 64 at least. */
function outputBytes(expectedBytes: number): number {
  return Math.max(expectedBytes, 64);
}

/** Loaded when it is first needed: 7 ms and 5 MiB, which most never need. */
async function wasmCodec(): Promise<FrameCodec> {
  const wasm = await import('@foxglove/wasm-zstd');
  await wasm.isLoaded;
  return {
    compress: (chunk) => wasm.compress(chunk, LEVEL),
    decompress: (frame, rawBytes) => wasm.decompress(frame, rawBytes),
  };
}
