import type { RedisServer } from './server.js';

/** So many answers of a master are remembered: a replica that is further behind is too far behind anyway. */
const MAX_POINTS = 16;

/** How far a master and its replicas are in the stream of its writes. */
interface Replication {
  readonly offset: number;
  readonly replicas: readonly { readonly address: string; readonly offset: number }[];
}

/**
 * Up to when replicas have what their masters had. A replica that is cut off from its master, or was stopped for a
 * while, answers reads as ever, with values of any age.
 */
export class ReplicaProgress {
  /** Where the stream of each master was at least at which time, the latest last. */
  private readonly points = new Map<string, { atMs: number; offset: number }[]>();
  private readonly upToDateAsOfMs = new Map<string, number>();

  /** @param sentMs when the master was asked */
  note(masterId: string, { offset, replicas }: Replication, sentMs: number): void {
    const points = this.points.get(masterId) ?? [];
    this.points.set(masterId, points);
    points.push({ atMs: sentMs, offset });
    if (points.length > MAX_POINTS) points.shift();
    for (const replica of replicas) {
      const reached = points.filter((point) => point.offset <= replica.offset).at(-1);
      if (reached) this.upToDateAsOfMs.set(replica.address, reached.atMs);
    }
  }

  /** The masters that there are now; of others nothing is remembered. */
  keep(masterIds: ReadonlySet<string>): void {
    for (const id of this.points.keys()) {
      if (masterIds.has(id)) continue;
      this.points.delete(id);
      // Whoever follows the successor has to show how far it is with that.
      this.upToDateAsOfMs.clear();
    }
  }

  /** It is another process than before, with data of any age until it has shown how far it is. */
  forget(address: string): void {
    this.upToDateAsOfMs.delete(address);
  }

  /** Milliseconds by which a replica may be behind. */
  lagMs(address: string): number {
    return performance.now() - (this.upToDateAsOfMs.get(address) ?? -Infinity);
  }
}

/** Asks a master how far it and its replicas are. */
export async function askReplication(master: Pick<RedisServer, 'send'>): Promise<Replication> {
  const text = String(await master.send(['INFO', 'replication']));
  const replicas = [...text.matchAll(/^slave\d+:ip=([^,]+),port=(\d+),state=online,offset=(\d+)/gm)];
  return {
    offset: Number(/^master_repl_offset:(\d+)/m.exec(text)?.[1] ?? 0),
    replicas: replicas.map(([, host = '', port, offset]) => ({
      address: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
      offset: Number(offset),
    })),
  };
}
