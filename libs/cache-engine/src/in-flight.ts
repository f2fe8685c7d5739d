/** One call on a key that is under way; shared by all calls on that key that overlap. */
export interface Ticket {
  readonly key: string;
  calls: number;
  /** The latest thing known to have happened to the key while the calls were under way. */
  latestRevision: number;
}

/** What has happened to keys while a load of many was under way: the latest revision of each. */
export type Batch = ReadonlyMap<string, number>;

/**
 * Fences what a load puts into L1: an entry that was read before a write or a removal, but arrives after it, must not
 * come back. Calls on a key that overlap share a ticket, on which each writer leaves the revision it has reached. Where
 * no call overlaps there is nothing to fence, so the tickets need no memory beyond the calls under way.
 */
export class InFlight {
  private readonly tickets = new Map<string, Ticket>();
  private readonly batches = new Set<Map<string, number>>();

  enter(key: string): Ticket {
    let ticket = this.tickets.get(key);
    if (!ticket) this.tickets.set(key, (ticket = { key, calls: 0, latestRevision: 0 }));
    ticket.calls++;
    return ticket;
  }

  leave(ticket: Ticket): void {
    if (--ticket.calls === 0 && this.tickets.get(ticket.key) === ticket) this.tickets.delete(ticket.key);
  }

  /** For a load of many keys: a ticket each would cost as much as the rest of it. */
  enterBatch(): Batch {
    const batch = new Map<string, number>();
    this.batches.add(batch);
    return batch;
  }

  leaveBatch(batch: Batch): void {
    this.batches.delete(batch as Map<string, number>);
  }

  /** Whether an entry of this revision may still be put into L1. */
  allows(ticket: Ticket, revision: number): boolean {
    return revision >= ticket.latestRevision;
  }

  /** Notes what a writer has reached, and says whether nothing later is known. */
  settle(ticket: Ticket, revision: number): boolean {
    if (revision < ticket.latestRevision) return false;
    ticket.latestRevision = revision;
    this.tellBatches(ticket.key, revision);
    return true;
  }

  /** Notes what has happened to a key elsewhere. */
  overtake(key: string, revision: number): void {
    const ticket = this.tickets.get(key);
    if (ticket) this.settle(ticket, revision);
    else this.tellBatches(key, revision);
  }

  /** Whether nothing is known to have happened to the key while the calls were under way. */
  isUndisturbed(ticket: Ticket): boolean {
    return ticket.latestRevision === 0;
  }

  /** Nobody knows what a failed write did: nothing that is under way now may be put into L1. */
  distrust(key: string): void {
    this.tellBatches(key, Infinity);
    const ticket = this.tickets.get(key);
    if (!ticket) return;
    ticket.latestRevision = Infinity;
    // Later calls are fenced by the announcement, should it have happened: on a hot key calls always overlap.
    this.tickets.delete(key);
  }

  private tellBatches(key: string, revision: number): void {
    for (const batch of this.batches) batch.set(key, Math.max(revision, batch.get(key) ?? 0));
  }
}
