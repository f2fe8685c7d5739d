import type { Entry } from './entry.js';
import type { Mutation, Outcome } from './mutation.js';

/** One page of keys. `cursor` is undefined on the last page. */
export interface KeyPage {
  readonly keys: readonly string[];
  readonly cursor: string | undefined;
}

/**
 * A place where entries are kept. Keys are whole keys, namespace included. Everything takes batches, so that a layer
 * behind a network answers many callers with one round trip.
 */
export interface Layer {
  /** The live entry of each key, in the order of the keys; undefined where there is none or it has expired. */
  getMany(keys: readonly string[]): Promise<readonly (Entry | undefined)[]>;
  /**
   * Runs each mutation atomically, in order, and says what came of it. Versions are handed out here and never repeat
   * or go back, not even after a removal.
   * @throws StorageFull when there is no room
   */
  applyMany(mutations: readonly Mutation[]): Promise<readonly Outcome[]>;
  /** Live keys that start with `prefix`, page by page: each key that is there during the whole scan comes at least once. */
  scan(prefix: string, cursor: string | undefined, limit: number): Promise<KeyPage>;
  /** Resolves when the layer answers. */
  check(): Promise<void>;
  close(): Promise<void>;
}
