import type { Entry, Head } from './entry.js';
import type { Mutation, Outcome } from './mutation.js';
import type { Outbox } from './outbox.js';

/** One page of entries. It may have fewer than were asked for, or a few more. `cursor` is undefined on the last page. */
export interface Page {
  readonly heads: readonly Head[];
  readonly cursor: string | undefined;
}

/**
 * A place where entries are kept. Keys are whole keys, namespace included. Everything takes batches, so that a layer
 * behind a network answers many callers with one round trip.
 */
export interface Layer {
  /**
   * The live entry of each key, in the order of the keys; undefined where there is none or it has expired.
   * @param fresh as the next mutation will find it, also where reads may lag a little otherwise
   */
  getMany(keys: readonly string[], fresh?: boolean): Promise<readonly (Entry | undefined)[]>;
  /**
   * Runs each mutation atomically, those of one key in order, and says what came of it. Revisions are handed out here:
   * those of a key never repeat or go back, not even after a removal.
   * @throws StorageFull when there is no room
   */
  applyMany(mutations: readonly Mutation[]): Promise<readonly Outcome[]>;
  /**
   * Live entries with keys that start with `prefix`, page by page: each that is there during the whole scan comes at
   * least once.
   */
  scan(prefix: string, cursor: string | undefined, limit: number): Promise<Page>;
  /** Resolves when the layer, or the part of it that is named, answers. */
  check(partition?: string): Promise<void>;
  close(): Promise<void>;
  /**
   * Names the part of the layer that has the key, where parts fail by themselves. A batch is best made of keys of one
   * part, so that one which fails does not fail the others.
   */
  partitionOf?(key: string): string;
  /**
   * Bytes that the entries of a namespace take, keys and headers included; undefined where they are not counted, yet.
   * Exact to less than a hundredth, where nothing was evicted since all was last counted. A layer of several parts answers
   * at once, with undefined where the part that counts does not.
   */
  usedBytes?(namespace: string): Promise<number | undefined>;
  /** Where writes are noted that are to reach a source; mutations with an effect on it are for layers that have one. */
  readonly outbox?: Outbox;
}

/** What a layer is to hold of a key whose entry lives in a deeper layer. */
export interface Copy {
  readonly key: string;
  /** Undefined: there is none, and nothing older than `revision` may come back. */
  readonly entry: Entry | undefined;
  readonly revision: number;
  /** Copies of other epochs are not read. */
  readonly epoch: number;
  /** Milliseconds to keep it, 0 for ever. */
  readonly ttlMs: number;
  /** Not to be stored when it arrives later than this time: it may have been under way for long. */
  readonly notAfterMs?: number;
}

export interface CopyOutcome {
  /** false: something newer is there. */
  readonly stored: boolean;
  /** Whether there had been an entry. */
  readonly present: boolean;
}

/** A layer that the nodes share, but which is not the deepest: it holds copies and decides nothing. */
export interface CopyLayer {
  getCopies(keys: readonly string[], epoch: number): Promise<readonly (Entry | undefined)[]>;
  copyMany(copies: readonly Copy[]): Promise<readonly CopyOutcome[]>;
  check(): Promise<void>;
  close(): Promise<void>;
}

/** The deepest layer as `SharedTiers` uses it: call by call. */
export interface KeyedLayer {
  get(key: string, fresh?: boolean): Promise<Entry | undefined>;
  /** In the order of the keys; all of them or none. */
  getMany(keys: readonly string[]): Promise<readonly (Entry | undefined)[]>;
  apply(mutation: Mutation): Promise<Outcome>;
  scan(prefix: string, cursor: string | undefined, limit: number): Promise<Page>;
  usedBytes(namespace: string): Promise<number | undefined>;
  readonly outbox: Outbox | undefined;
}

/** How far a write has got beyond the server that decided it. */
export interface Replication {
  /** Names of the replicas that have confirmed it. */
  readonly confirmedBy: readonly string[];
  /** How many have; more than there are names of, where those are not known. */
  readonly confirmed: number;
  /** How many had to. */
  readonly wanted: number;
}

/** A layer whose servers have replicas. */
export interface ReplicatedLayer {
  /** Runs a mutation and waits until as many replicas have it as `wanted` says, given how many there are. */
  applyReplicated(
    mutation: Mutation,
    wanted: (replicas: number) => number,
    timeoutMs: number,
  ): Promise<{ readonly outcome: Outcome; readonly replication: Replication }>;
}
