/** Told what has happened to entries on whichever node, this one included. */
export interface BackplaneListener {
  /** Copies of the key older than `revision` are old values. */
  changed(key: string, revision: number): void;
  /** Copies of every key that starts with `prefix` are to be dropped from L1, whatever they are. */
  dropped(prefix: string, exact: boolean): void;
  /** Some of what happened was not heard: the epoch has gone up. */
  missed?(): void;
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
  /** Asks every node, this one included, to drop a key, or all keys with a prefix, from its L1. */
  drop(prefix: string, exact: boolean): Promise<void>;
  state(): BackplaneState;
  close(): Promise<void>;
}

/** The backplane of a node that shares its entries with nobody. */
export class NoBackplane implements Backplane {
  readonly epoch = 0;
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
