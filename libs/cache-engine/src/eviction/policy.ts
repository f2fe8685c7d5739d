/** What a policy knows of an entry. The links and the place belong to the policy that has it. */
export interface Evictable {
  readonly key: string;
  /** What the entry takes of the limit. */
  costBytes: number;
  /** Milliseconds since the epoch, 0: never. */
  readonly heldUntilMs: number;
  newer: Evictable | undefined;
  older: Evictable | undefined;
  /** Which queue the entry is in, or where in an array: for the policy to say. */
  place: number;
  /** Of the key; set by the policies that count uses. */
  hash: number;
  /** How often it was used; packed as the policy likes it. */
  uses: number;
}

/**
 * Decides what goes when there is no room. It keeps the order only: whether there is room, and what lies where, is the
 * affair of its owner. No call on a hit allocates anything.
 */
export interface EvictionPolicy {
  /** How many bytes there are for the entries; given before anything else, and again whenever it changes. */
  limit(bytes: number): void;
  /** A new entry asks for room: called before any victim is asked for on its behalf, and whether or not it gets in. */
  arrive(incoming: Evictable): void;
  /**
   * Lets go of the entry that is to make room and returns it.
   * @param incomingBytes that are still to come in
   * @returns undefined when nothing may go
   */
  victim(incomingBytes: number): Evictable | undefined;
  /** A new entry is in. */
  add(node: Evictable): void;
  /** An entry was read or written; its time of expiry may be another. */
  use(node: Evictable): void;
  /** An entry costs something else now. */
  resize(node: Evictable, costBytes: number): void;
  /** An entry is gone for a reason that is none of the policy's. */
  remove(node: Evictable): void;
}
