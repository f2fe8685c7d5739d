import type { Mark } from './mark.js';

/** Told what has happened to entries on whichever node, this one included. */
export interface BackplaneListener {
  /** Copies of the key older than `revision` are old values. */
  changed(key: string, revision: number): void;
  /** Copies of every key that starts with `prefix` are to be dropped from L1, whatever they are. */
  dropped(prefix: string, exact: boolean): void;
  /** Some of what happened was not heard: the epoch has gone up. */
  missed?(): void;
}

/** Told as a listener is, and more, for as long as it watches. */
export interface Watcher {
  changed(key: string, revision: number, mark: Mark): void;
  /** An entry has ended with its ttl. */
  expired(key: string, revision: number): void;
  dropped(prefix: string, exact: boolean, revision: number): void;
  missed(): void;
}

export interface Watch {
  /** Resolves when expiries are told of. Stays open where they cannot be; never rejects. */
  readonly ready: Promise<void>;
  stop(): void;
}

/** A node that takes part, as far as this one knows. */
export interface Peer {
  readonly id: string;
  readonly name: string;
  /** Milliseconds since the last sign of life. */
  readonly silentMs: number;
}

export interface BackplaneState {
  /** Names this process among the peers; undefined where nodes do not know of each other. */
  readonly selfId: string | undefined;
  readonly trusted: boolean;
  readonly epoch: number;
  /** How often announcements were found to be missing. */
  readonly gaps: number;
  readonly peers: readonly Peer[];
}

/**
 * How the nodes tell each other what has changed, so that each can keep copies in its memory. What is announced comes
 * with a change, in one step with it (see `Announcer`); the backplane hears it, and knows when it may have missed some.
 */
export interface Backplane {
  /**
   * Goes up whenever copies that were taken before may have become old values unnoticed. A copy is as good as new once
   * it was compared with the shared layer in the present epoch.
   */
  readonly epoch: number;
  /** Whether all that was announced up to a bounded time ago has been heard. Cheap: asked on every read. */
  isTrusted(): boolean;
  /** For how long nothing has vouched for copies that were last checked in an epoch, milliseconds. */
  uncheckedMs(epoch: number): number;
  follow(listener: BackplaneListener): void;
  /** Has everything told as it happens, and not with the next read only. */
  watch(watcher: Watcher): Watch;
  /** Asks every node to watch for a while, as readers may come to another than this one. */
  askToWatch(): void;
  onAskedToWatch(listener: () => void): void;
  /** The revision of what happens now. */
  position(): number;
  /** Everything up to this revision was told by now, but for `disorder`. Undefined where nothing can be said. */
  heardUpTo(): number | undefined;
  /** What happens at the same time on different servers has revisions that differ by so much at most. */
  readonly disorder: number;
  /** Asks every node, this one included, to drop a key, or all keys with a prefix, from its L1. */
  drop(prefix: string, exact: boolean): Promise<void>;
  state(): BackplaneState;
  close(): Promise<void>;
}

/** The backplane of a node that shares its entries with nobody. */
export class NoBackplane implements Backplane {
  readonly epoch = 0;
  readonly disorder = 0;
  private readonly listeners = new Set<BackplaneListener>();

  isTrusted(): boolean {
    return true;
  }

  uncheckedMs(): number {
    return 0;
  }

  follow(listener: BackplaneListener): void {
    this.listeners.add(listener);
  }

  watch(): Watch {
    return { ready: Promise.resolve(), stop: () => undefined };
  }

  askToWatch(): void {
    // There is nobody to ask.
  }

  onAskedToWatch(): void {
    // Nobody asks.
  }

  position(): number {
    return 0;
  }

  heardUpTo(): number {
    return 0;
  }

  drop(prefix: string, exact: boolean): Promise<void> {
    for (const listener of this.listeners) listener.dropped(prefix, exact);
    return Promise.resolve();
  }

  state(): BackplaneState {
    return { selfId: undefined, trusted: true, epoch: 0, gaps: 0, peers: [] };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
