import type { EntryAlgorithm } from './payload/compression.js';

/** A tag of an entry, and the generation of the tag under which the entry was written. */
export interface TagStamp {
  readonly tag: string;
  readonly generation: number;
}

/** What is known of an entry beside its value and its stamp. Most entries have none. */
export interface Attributes {
  /** The entry is alive while every one of its tags is still in this generation. */
  readonly tags?: readonly TagStamp[];
  /** How the payload is compressed in the shared layers. */
  readonly compression?: EntryAlgorithm;
  /** Bytes of the payload before it was compressed. */
  readonly rawBytes?: number;
  /** The payload is sealed in the shared layers; see `seal`. */
  readonly encrypted?: boolean;
  /** Media type of a value that is kept as it came. */
  readonly contentType?: string;
  /** Each read renews the expiry: milliseconds to live from then on. */
  readonly slidingMs?: number;
  /** Where it is there, what is left of the life of the entry after it is stale. */
  readonly staleness?: Staleness;
  /** By which the source tells whether it has something newer (RFC 9110, section 8.8.3). */
  readonly sourceTag?: string;
}

/** The end of the life of an entry, in which it is no longer current, and what it may be used for then. Milliseconds. */
export interface Staleness {
  /** It is fetched anew meanwhile (RFC 5861, section 3). */
  readonly whileRevalidateMs: number;
  /** Where it cannot be fetched anew (RFC 5861, section 4). */
  readonly ifErrorMs: number;
}

/** For how long an entry is kept after it has ended to be current. */
export function staleMs(staleness: Staleness | undefined): number {
  return staleness ? Math.max(staleness.whileRevalidateMs, staleness.ifErrorMs) : 0;
}

/** Whether an entry that is there may nevertheless be as good as gone: nothing is decided by it without a look. */
export function isConditional(attributes: Attributes | undefined): boolean {
  return attributes?.tags !== undefined || attributes?.staleness !== undefined;
}

/** One letter a member: the text goes with every copy of the entry. */
interface Packed {
  readonly c?: EntryAlgorithm;
  readonly r?: number;
  readonly e?: boolean;
  readonly m?: string;
  readonly s?: number;
  readonly f?: [whileRevalidateMs: number, ifErrorMs: number];
  readonly t?: string;
}

const TAGS_LENGTH_BYTES = 2;
const NO_BYTES = Buffer.alloc(0);
/** What the heap takes for the objects, roughly, beside their texts. */
const HEAP_BYTES = 120;
const HEAP_BYTES_PER_TAG = 96;

/**
 * The bytes between the fixed header of a record and its payload: `u16` length of the tags, the tags as `[["tag",
 * generation], …]`, then the rest. Tags stand by themselves so that two records are known to have the same without
 * being parsed (see `APPLY_SCRIPT`).
 */
export function encodeAttributes(attributes: Attributes): Buffer {
  const tags = encodeTags(attributes.tags);
  const { compression, rawBytes, encrypted, contentType, slidingMs, staleness, sourceTag } = attributes;
  const packed: Packed = {
    ...(compression !== undefined && { c: compression }),
    ...(rawBytes !== undefined && { r: rawBytes }),
    ...(encrypted !== undefined && { e: encrypted }),
    ...(contentType !== undefined && { m: contentType }),
    ...(slidingMs !== undefined && { s: slidingMs }),
    ...(staleness && { f: [staleness.whileRevalidateMs, staleness.ifErrorMs] }),
    ...(sourceTag !== undefined && { t: sourceTag }),
  };
  const rest = Buffer.from(JSON.stringify(packed));
  const length = Buffer.allocUnsafe(TAGS_LENGTH_BYTES);
  length.writeUInt16BE(tags.length);
  return Buffer.concat([length, tags, rest]);
}

/** @throws SyntaxError, RangeError where the bytes are none of `encodeAttributes` */
export function decodeAttributes(bytes: Buffer): Attributes {
  const tagsEnd = TAGS_LENGTH_BYTES + bytes.readUInt16BE();
  const { c, r, e, m, s, f, t } = JSON.parse(bytes.toString('utf8', tagsEnd)) as Packed;
  return {
    ...(tagsEnd > TAGS_LENGTH_BYTES && { tags: decodeTags(bytes.toString('utf8', TAGS_LENGTH_BYTES, tagsEnd)) }),
    ...(c !== undefined && { compression: c }),
    ...(r !== undefined && { rawBytes: r }),
    ...(e !== undefined && { encrypted: e }),
    ...(m !== undefined && { contentType: m }),
    ...(s !== undefined && { slidingMs: s }),
    ...(f && { staleness: { whileRevalidateMs: f[0], ifErrorMs: f[1] } }),
    ...(t !== undefined && { sourceTag: t }),
  };
}

/** Whether two entries have the same tags in the same generations. */
export function sameTags(one: Attributes | undefined, other: Attributes | undefined): boolean {
  return encodeTags(one?.tags).equals(encodeTags(other?.tags));
}

/** What attributes take in memory, roughly. */
export function attributeBytes(attributes: Attributes | undefined): number {
  if (!attributes) return 0;
  const tagBytes = attributes.tags?.reduce((sum, { tag }) => sum + tag.length + HEAP_BYTES_PER_TAG, 0) ?? 0;
  return HEAP_BYTES + tagBytes + (attributes.contentType?.length ?? 0) + (attributes.sourceTag?.length ?? 0);
}

function encodeTags(tags: readonly TagStamp[] | undefined): Buffer {
  return tags ? Buffer.from(JSON.stringify(tags.map(({ tag, generation }) => [tag, generation]))) : NO_BYTES;
}

function decodeTags(text: string): TagStamp[] {
  return (JSON.parse(text) as [string, number][]).map(([tag, generation]) => ({ tag, generation }));
}
