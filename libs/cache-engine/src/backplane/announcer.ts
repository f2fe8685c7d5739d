import { randomBytes } from 'node:crypto';

/** So many numbers are named to the other nodes in one beat. */
const MAX_NAMED = 200;
const REMEMBER_VOID_MS = 10_000;

/**
 * What became of an announcement: the server sent it, it certainly never will, or nobody knows. In the last case the
 * other nodes take it for missing unless they have heard it: one that was not listening then cannot know better.
 */
export type Announced = 'sent' | 'never' | 'unknown';

/** How far a node is with its announcements. */
export interface Progress {
  /** Every number up to this one was announced, but for those in `open` and `never`. */
  readonly through: number;
  /** Numbers of changes that are under way. */
  readonly open: readonly number[];
  /** Numbers of changes that have not happened and will not. */
  readonly never: readonly number[];
}

/**
 * Numbers what this node announces. A layer takes a number before it asks its server for a change, and the server sends
 * the announcement together with the change; so who has heard all numbers that are settled has missed nothing.
 */
export class Announcer {
  /** Names this process among all nodes; new with each start. */
  readonly nodeId = randomBytes(6).toString('hex');
  private last = 0;
  private readonly open = new Set<number>();
  private readonly never = new Map<number, number>();

  constructor(
    readonly channel: string,
    readonly nodeName: string,
  ) {}

  begin(): number {
    const sequence = ++this.last;
    this.open.add(sequence);
    return sequence;
  }

  /** First line of the announcement with this number; a line follows for each change: its mark, its revision and the key. */
  head(sequence: number): string {
    return `c ${this.nodeId} ${sequence}`;
  }

  settle(sequence: number, announced: Announced): void {
    this.open.delete(sequence);
    if (announced === 'never') this.never.set(sequence, performance.now());
  }

  /** A change that hangs does not hide what became of later ones: only beyond so many that hang nothing is said. */
  get progress(): Progress {
    // In the order in which they began.
    const open = [...this.open];
    const beyond = open[MAX_NAMED];
    const before = performance.now() - REMEMBER_VOID_MS;
    for (const [sequence, since] of this.never) if (since < before) this.never.delete(sequence);
    return {
      through: beyond === undefined ? this.last : beyond - 1,
      open: open.slice(0, MAX_NAMED),
      never: [...this.never.keys()].slice(-MAX_NAMED),
    };
  }
}
