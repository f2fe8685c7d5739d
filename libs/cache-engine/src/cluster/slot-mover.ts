import type { Command } from '../redis/connection.js';
import type { NodeConnections } from './node-connections.js';
import type { Member } from './topology.js';

/** What went from one node to another. */
export interface Moved {
  readonly keys: number;
  /** Memory that the keys took where they were. */
  readonly bytes: number;
}

const MIB = 1024 * 1024;
/** MIGRATE blocks both nodes: with batches of this size for some milliseconds. One key that is larger goes alone. */
const BATCH_BYTES = MIB;
const BATCH_KEYS = 100;
/**
 * How long MIGRATE waits for the other node each time. The source serves nobody meanwhile, so it must stay below the time
 * after which the others would hold it for dead (`cluster-node-timeout`, 15 s unless set).
 */
const MIGRATE_TIMEOUT_MS = 1000;
const MIGRATE_TIMEOUT_MS_PER_MIB = 20;
const TARGET_PING_DEADLINE_MS = 500;
/** It connects, writes and reads, each with the timeout, and does so again once. */
const MIGRATE_WAITS = 6;

/**
 * Moves slots with the cluster's own commands while they are in use: as long as a slot is on the move, the source answers for
 * the keys that it has and sends those who ask for others on to the target (ASK).
 */
export class SlotMover {
  /** By source, the MIGRATE that was sent last. */
  private readonly migrations = new Map<string, Promise<unknown>>();

  constructor(private readonly nodes: NodeConnections) {}

  /**
   * Every step may have been done before. Left in the middle the slot is served, by both together, until this is called again.
   *
   * @param others masters that are told at once who has the slot; they would learn it by and by
   * @throws NodeUnreachable, ErrorReply
   */
  async move(slot: number, from: Member, to: Member, others: readonly Member[]): Promise<Moved> {
    const toIsOwner = await this.setSlot(to, slot, ['IMPORTING', from.id], /already the owner/);
    if (toIsOwner) {
      await this.assign(slot, to, [from, ...others]);
      return { keys: 0, bytes: 0 };
    }
    // It does not listen to claims of a slot that it imports: after a failover it knows no master of it, and refuses its keys.
    await this.setSlot(to, slot, ['NODE', from.id]);
    await this.setSlot(from, slot, ['MIGRATING', to.id]);
    let moved: Moved = { keys: 0, bytes: 0 };
    for (;;) {
      const keys = await this.nodes.send<Buffer[]>(from.address, [
        ...['CLUSTER', 'GETKEYSINSLOT', String(slot), String(BATCH_KEYS)],
      ]);
      if (keys.length === 0) break;
      moved = sum(moved, await this.migrate(keys, from, to));
    }
    await this.assign(slot, to, [from, ...others]);
    return moved;
  }

  /**
   * Makes a node the master of a slot in its own eyes and then in those of the others. It comes first: as long as the old
   * one is not told, it sends everybody here; the other way round each would send to the other.
   */
  async assign(slot: number, to: Member, others: readonly Member[]): Promise<void> {
    await this.setSlot(to, slot, ['NODE', to.id]);
    // Who has become a replica meanwhile learns it from its master, and who does not answer from the first that it hears.
    await Promise.allSettled(others.map((node) => this.setSlot(node, slot, ['NODE', to.id])));
  }

  /** Who of some masters has the most keys of a slot. */
  async keeper(slot: number, masters: readonly Member[]): Promise<Member> {
    const counts = await Promise.all(
      masters.map((node) => this.nodes.send<number>(node.address, ['CLUSTER', 'COUNTKEYSINSLOT', String(slot)])),
    );
    const keeper = masters[counts.indexOf(Math.max(...counts))];
    if (!keeper) throw new Error(`no master answers that could take slot ${slot}`);
    return keeper;
  }

  /** Takes a slot that is on the move back to where it is. */
  async settle(slot: number, node: Member): Promise<void> {
    await this.setSlot(node, slot, ['STABLE']);
  }

  private async migrate(keys: readonly Buffer[], from: Member, to: Member): Promise<Moved> {
    const sizes = await Promise.all(
      keys.map((key) => this.nodes.send<number | null>(from.address, ['MEMORY', 'USAGE', key])),
    );
    let moved: Moved = { keys: 0, bytes: 0 };
    for (const { batch, bytes } of batches(keys, sizes)) {
      const timeoutMs = Math.ceil(MIGRATE_TIMEOUT_MS + (bytes / MIB) * MIGRATE_TIMEOUT_MS_PER_MIB);
      // A copy at the target is left from a MIGRATE whose answer was lost. Only the source has been asked for the key since.
      const command: Command = [
        ...['MIGRATE', to.address.host, String(to.address.port), '', '0', String(timeoutMs), 'REPLACE'],
        ...this.login(),
        'KEYS',
        ...batch,
      ];
      await this.alone(from, async () => {
        // A target that hangs is found out here, where nobody else waits for the answer.
        await this.nodes.send(to.address, ['PING'], TARGET_PING_DEADLINE_MS);
        await this.nodes.send(from.address, command, timeoutMs * MIGRATE_WAITS);
      });
      moved = sum(moved, { keys: batch.length, bytes });
    }
    return moved;
  }

  /** One MIGRATE after the other: several that wait for the same target would keep the source from serving for their sum. */
  private async alone(from: Member, migrate: () => Promise<void>): Promise<void> {
    const before = this.migrations.get(from.id);
    const migration = (before ?? Promise.resolve()).then(migrate);
    const settled = migration.catch(() => undefined);
    this.migrations.set(from.id, settled);
    await migration;
  }

  private login(): string[] {
    const { username, password } = this.nodes.access;
    if (password === undefined) return [];
    return username === undefined ? ['AUTH', password] : ['AUTH2', username, password];
  }

  /** Whether the node refused with the error that is expected, as it is done already. */
  private async setSlot(node: Member, slot: number, change: string[], expected?: RegExp): Promise<boolean> {
    try {
      await this.nodes.send(node.address, ['CLUSTER', 'SETSLOT', String(slot), ...change]);
      return false;
    } catch (error) {
      if (expected?.test((error as Error).message)) return true;
      throw error;
    }
  }
}

/** Keys in groups of a bounded size; those that are gone already have none. */
function* batches(
  keys: readonly Buffer[],
  sizes: readonly (number | null)[],
): Generator<{ batch: Buffer[]; bytes: number }> {
  let batch: Buffer[] = [];
  let bytes = 0;
  for (const [index, key] of keys.entries()) {
    const size = sizes[index] ?? 0;
    if (batch.length > 0 && bytes + size > BATCH_BYTES) {
      yield { batch, bytes };
      batch = [];
      bytes = 0;
    }
    batch.push(key);
    bytes += size;
  }
  if (batch.length > 0) yield { batch, bytes };
}

function sum(one: Moved, other: Moved): Moved {
  return { keys: one.keys + other.keys, bytes: one.bytes + other.bytes };
}
