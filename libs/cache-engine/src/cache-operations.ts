import type { Config, LayerName, Strategy } from '@cache-system/contracts';
import type { TagStamp } from './attributes.js';
import type { Entry, Value } from './entry.js';
import type { Condition } from './mutation.js';
import type { StorageSettings, StorageWish } from './stored-form.js';

// What is asked of a `Cache`, and what it answers.

/** The part of the configuration that the cache runs on. Replaced as a whole while running. */
export interface CacheSettings {
  readonly layers: Pick<Config['cache']['layers'], 'l1' | 'l2' | 'l3'>;
  readonly defaultStrategy: Strategy;
  readonly storage: StorageSettings;
}

export interface WriteOptions extends StorageWish {
  /** Seconds to live, 0 for no expiry; left out, the defaults of the layers. */
  readonly ttlSeconds?: number | undefined;
  readonly strategy?: Strategy | undefined;
  readonly condition?: Condition | undefined;
  /** Wait for replicas of the deepest layer, as many as its consistency level says. */
  readonly replicate?: boolean | undefined;
  readonly tags?: readonly string[] | undefined;
  /** Every read renews the expiry. */
  readonly sliding?: boolean | undefined;
  /** By which part of itself the ttl may be shortened, by chance: 0 to 1. What was stored together ends apart then. */
  readonly ttlJitter?: number | undefined;
  /** Of a value that is kept as it came. */
  readonly contentType?: string | undefined;
  /** Seconds after the ttl for which the entry may be used while another is fetched, or where that fails. */
  readonly staleWhileRevalidateSeconds?: number | undefined;
  readonly staleIfErrorSeconds?: number | undefined;
  /** Of the source that the value was fetched from. */
  readonly sourceTag?: string | undefined;
  /** In place of `tags`: what those of another entry were. */
  readonly tagStamps?: readonly TagStamp[] | undefined;
  /**
   * Called before any layer has the value: where it fails, nothing is written. What it returns has to hold, too.
   * @param base the entry that the value was made of, if it was
   * @param requireSpace throws `NamespaceFull` where the value is too much for `limitBytes`, which holds no more after this
   */
  readonly through?:
    ((value: Value, base: Entry | undefined, requireSpace: () => Promise<void>) => Promise<Condition>) | undefined;
  /** Called before anything is written: a value for which it throws is not. */
  readonly check?: ((value: Value) => void) | undefined;
  /** The write is to reach a source later. See `Outbox`. */
  readonly noted?: boolean | undefined;
  /** Bytes that the entries of the namespace may take: the write is not to make them more. */
  readonly limitBytes?: number | undefined;
  /** For a value that is made of another: what there is where the cache has nothing. */
  readonly known?: Entry | undefined;
}

export interface Written {
  readonly status: 'created' | 'updated';
  readonly entry: Entry;
  /** Bytes that the value takes in the shared layers. */
  readonly storedBytes: number;
  /** The layers that hold the entry now. */
  readonly layers: readonly LayerName[];
  /** Names of the replicas that have confirmed the write. */
  readonly replicatedTo: readonly string[];
}

export interface Found {
  readonly entry: Entry;
  readonly layer: LayerName;
  readonly hits: number;
  /** The copy could not be checked: neither the shared layers nor the other nodes can be reached. */
  readonly stale: boolean;
  /** Layers that could not be asked; deeper ones answered for them. */
  readonly unavailable: readonly LayerName[];
}

/** Reads answered, by what answered them. */
export interface ReadCounts {
  L1: number;
  L2: number;
  L3: number;
  misses: number;
}

/** What has happened: to the entry of a key, or to any of those whose keys begin so. */
export type Change = { readonly key: string } | { readonly prefix: string };
export type ChangeListener = (change: Change) => void;
