import { type Attributes, decodeAttributes, encodeAttributes, isConditional, staleMs } from './attributes.js';

/** In which format the payload of an entry came, and is kept; `raw`: any bytes, of a media type of their own. */
const FORMATS = ['json', 'msgpack', 'protobuf', 'bson', 'raw'] as const;
export type Format = (typeof FORMATS)[number];

/** What the shared layer decides about an entry when it stores it. Times are milliseconds since the epoch. */
export interface Stamp {
  /** Changes with every new value, never with a mere change of expiry. The ETag is made of it. */
  readonly version: number;
  /** Changes with everything that happens to the entry: the newer of two copies is the one with the higher revision. */
  readonly revision: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** 0 when the entry does not expire. */
  readonly expiresAtMs: number;
}

/** A value in the format in which it came. */
export interface Value {
  readonly format: Format;
  /** The value, byte for byte as it came. */
  readonly payload: Buffer;
  /** The payload has no byte above 0x7f, so that one character of its text is one byte. */
  readonly ascii: boolean;
}

/** What a writer decides about an entry. */
export interface Content extends Value {
  /** The writer gave no ttl: each layer may apply its own default. */
  readonly defaultTtl: boolean;
  readonly attributes?: Attributes | undefined;
}

/** A stored value with what is known of it. */
export interface Entry extends Stamp, Content {}

/** An entry without its value. */
export interface Head extends Stamp {
  readonly key: string;
  readonly attributes: Attributes | undefined;
  /** Bytes of the value as it is stored. */
  readonly storedBytes: number;
}

/**
 * Layout of a stored entry, all numbers big-endian:
 * `u8` layout, `u8` format, `u8` flags, `u8` tally (see `SPACE`), `u32` length of this header, then as `f64` version, revision,
 * createdAtMs, updatedAtMs, expiresAtMs, lease token, end of the lease (0: none), epoch; then the attributes, if there
 * are any (see `encodeAttributes`), and the payload, from the length of the header on. Doubles, because Lua has no other
 * number: all of them stay far below 2^53.
 *
 * A record of the format `absent` is no entry: it remembers for a while what had become of the key, or who fills it.
 * The epoch is that of the copies in a layer which is not the deepest (see `CopyTier`).
 */
export const HEADER = {
  layout: 2,
  bytes: 72,
  absent: 255,
  offsets: {
    format: 1,
    flags: 2,
    tally: 3,
    length: 4,
    version: 8,
    revision: 16,
    createdAt: 24,
    updatedAt: 32,
    expiresAt: 40,
    leaseToken: 48,
    leaseEnds: 56,
    epoch: 64,
  },
} as const;

const FLAG_ASCII = 1;
const FLAG_DEFAULT_TTL = 2;
/** The entry may be as good as gone; see `isConditional`. */
export const FLAG_CONDITIONAL = 4;

/** All of a stored entry that does not depend on the shared layer: its first eight bytes, and what follows the header. */
export function encodeContent(content: Content): { readonly preamble: Buffer; readonly body: Buffer } {
  const { format, ascii, defaultTtl, attributes, payload } = content;
  const preamble = Buffer.alloc(8);
  preamble[0] = HEADER.layout;
  preamble[HEADER.offsets.format] = FORMATS.indexOf(format);
  preamble[HEADER.offsets.flags] =
    (ascii ? FLAG_ASCII : 0) | (defaultTtl ? FLAG_DEFAULT_TTL : 0) | (isConditional(attributes) ? FLAG_CONDITIONAL : 0);
  const encoded = attributes && encodeAttributes(attributes);
  preamble.writeUInt32BE(HEADER.bytes + (encoded?.length ?? 0), HEADER.offsets.length);
  return { preamble, body: encoded ? Buffer.concat([encoded, payload]) : payload };
}

/** @param epoch of a copy; see `HEADER` */
export function encodeEntry(content: Content, stamp: Stamp, epoch = 0): Buffer {
  const { preamble, body } = encodeContent(content);
  const bytes = Buffer.allocUnsafe(HEADER.bytes + body.length);
  preamble.copy(bytes);
  bytes.fill(0, HEADER.offsets.leaseToken, HEADER.offsets.epoch);
  bytes.writeDoubleBE(epoch, HEADER.offsets.epoch);
  writeStamp(bytes, stamp);
  body.copy(bytes, HEADER.bytes);
  return bytes;
}

export function writeStamp(bytes: Buffer, stamp: Stamp): void {
  bytes.writeDoubleBE(stamp.version, HEADER.offsets.version);
  bytes.writeDoubleBE(stamp.revision, HEADER.offsets.revision);
  bytes.writeDoubleBE(stamp.createdAtMs, HEADER.offsets.createdAt);
  bytes.writeDoubleBE(stamp.updatedAtMs, HEADER.offsets.updatedAt);
  bytes.writeDoubleBE(stamp.expiresAtMs, HEADER.offsets.expiresAt);
}

export function readEpoch(bytes: Buffer): number {
  return bytes.readDoubleBE(HEADER.offsets.epoch);
}

/** Reads a stored entry. The payload is a view of `bytes`, not a copy. Undefined when the bytes are not an entry. */
export function decodeEntry(bytes: Buffer): Entry | undefined {
  const headerBytes = headerLength(bytes);
  if (headerBytes < HEADER.bytes || headerBytes > bytes.length) return undefined;
  const format = FORMATS[bytes[HEADER.offsets.format] ?? FORMATS.length];
  if (format === undefined || bytes[0] !== HEADER.layout) return undefined;
  const flags = bytes[HEADER.offsets.flags] ?? 0;
  const attributes =
    headerBytes === HEADER.bytes ? undefined : readAttributes(bytes.subarray(HEADER.bytes, headerBytes));
  if (attributes === 'damaged') return undefined;
  return {
    version: bytes.readDoubleBE(HEADER.offsets.version),
    revision: bytes.readDoubleBE(HEADER.offsets.revision),
    createdAtMs: bytes.readDoubleBE(HEADER.offsets.createdAt),
    updatedAtMs: bytes.readDoubleBE(HEADER.offsets.updatedAt),
    expiresAtMs: bytes.readDoubleBE(HEADER.offsets.expiresAt),
    format,
    ascii: (flags & FLAG_ASCII) !== 0,
    defaultTtl: (flags & FLAG_DEFAULT_TTL) !== 0,
    attributes,
    payload: bytes.subarray(headerBytes),
  };
}

function readAttributes(bytes: Buffer): Attributes | 'damaged' {
  try {
    return decodeAttributes(bytes);
  } catch {
    return 'damaged';
  }
}

/** Bytes before the payload of a record, of which the beginning is given. 0: it is too short for one. */
export function headerLength(bytes: Buffer): number {
  return bytes.length < HEADER.bytes ? 0 : bytes.readUInt32BE(HEADER.offsets.length);
}

/** @param bytes the record up to its payload, or beyond; @param totalBytes how long it is */
export function decodeHead(key: string, bytes: Buffer, totalBytes: number): Head | undefined {
  const entry = decodeEntry(bytes);
  return (
    entry && { ...stampOf(entry), key, attributes: entry.attributes, storedBytes: totalBytes - headerLength(bytes) }
  );
}

export function stampOf({ version, revision, createdAtMs, updatedAtMs, expiresAtMs }: Stamp): Stamp {
  return { version, revision, createdAtMs, updatedAtMs, expiresAtMs };
}

/** A JSON text as a value. The payload is a buffer of its own, so that an entry holds on to nothing else. */
export function jsonValue(text: string): Value {
  const bytes = Buffer.byteLength(text);
  const payload = Buffer.allocUnsafeSlow(bytes);
  const ascii = bytes === text.length;
  if (ascii) payload.write(text, 'latin1');
  else payload.write(text, 'utf8');
  return { format: 'json', payload, ascii };
}

/** The text of a JSON value. */
export function jsonText({ payload, ascii }: Value): string {
  return payload.toString(ascii ? 'latin1' : 'utf8');
}

/** What is told of an entry, or of a mere stamp. */
export type Told = Stamp & Partial<Pick<Content, 'attributes'>>;

/** When an entry ends to be current, in milliseconds since the epoch; 0: never. It may be kept for longer, as stale. */
export function currentUntilMs({ expiresAtMs, attributes }: Told): number {
  return expiresAtMs === 0 ? 0 : expiresAtMs - staleMs(attributes?.staleness);
}

/** Whether an entry is there only as stale. */
export function isStale(entry: Told, nowMs: number): boolean {
  if (entry.attributes?.staleness === undefined) return false;
  const untilMs = currentUntilMs(entry);
  return untilMs !== 0 && untilMs <= nowMs;
}

/** Whether an entry has expired at `nowMs`. */
export function isExpired(expiresAtMs: number, nowMs: number): boolean {
  return expiresAtMs !== 0 && expiresAtMs <= nowMs;
}
