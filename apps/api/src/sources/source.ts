/** A value as it travels. */
export interface SourceContent {
  /** A media type, with its parameters where the source gave any. */
  readonly contentType: string;
  readonly bytes: Buffer;
}

/** A value to be stored, in the media type of the source. */
export interface StoredValue {
  readonly bytes: Buffer;
  /** Tells a replay from a new write. */
  readonly write: string;
  /** Goes up with each write of the key: tells one that comes too late (a fencing token). */
  readonly turn: number;
}

export type LoadResult =
  | {
      readonly status: 'found';
      readonly value: SourceContent;
      /** 0: not to be served again without asking. Left out: as the layers say. */
      readonly ttlSeconds?: number;
      readonly etag?: string;
    }
  /** What the caller has is still so, and may be kept for as long again. */
  | { readonly status: 'unchanged'; readonly ttlSeconds?: number }
  | { readonly status: 'missing' };

/**
 * Where the data of a key prefix lives. Keys are those of the cache within their namespace, with the prefix. Each call
 * ends at the latest with the source's hard timeout, and at once with the reason of `signal` when that is aborted. A write
 * that failed otherwise than by SourceRefused may have happened.
 *
 * All throw SourceUnavailable, SourceTimeout and SourceRefused.
 */
export interface Source {
  readonly name: string;
  /** Media type of the values there: those that are loaded have it, and those to be stored must. */
  readonly contentType: string;
  /** @param known what the caller has already: if that is still so, the answer is `unchanged` */
  load(key: string, known: { readonly etag?: string } | undefined, signal: AbortSignal): Promise<LoadResult>;
  /** Absent: the source is read-only. May be repeated with the same value. */
  store?(key: string, value: StoredValue, signal: AbortSignal): Promise<void>;
  /** Absent: the source keeps what the cache forgets. Removing what is not there succeeds. */
  remove?(key: string, turn: number, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** The source cannot be reached, says itself that it cannot answer now, or has failed so often that it is not asked. */
export class SourceUnavailable extends Error {
  /** Seconds after which the source wants to be asked again, if it said so. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    readonly source: string,
    { retryAfterSeconds, ...options }: ErrorOptions & { retryAfterSeconds?: number | undefined } = {},
  ) {
    super(`the source ${source} is unavailable`, options);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** The source did not answer in time. What was asked of it may still happen. */
export class SourceTimeout extends Error {
  constructor(
    readonly source: string,
    readonly timeoutMs: number,
    options?: ErrorOptions,
  ) {
    super(`the source ${source} did not answer within ${timeoutMs} ms`, options);
  }
}

export type RefusalReason =
  /** The key cannot be told from another one in the source, such as `..` in a path. */
  | 'key'
  | 'forbidden_address'
  | 'redirect'
  | 'status'
  | 'content_type'
  /** What is to be stored cannot be said in its media type. */
  | 'value'
  | 'content_encoding'
  | 'too_large'
  /** The database does not take the query, or what is to be stored. */
  | 'query';

/** Asking again would not help: the call, what came back, or the configuration is at fault. */
export class SourceRefused extends Error {
  constructor(
    readonly source: string,
    readonly reason: RefusalReason,
    detail: string,
    options?: ErrorOptions,
  ) {
    super(`the source ${source}: ${detail}`, options);
  }
}
