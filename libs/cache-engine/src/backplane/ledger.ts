import type { Progress } from './announcer.js';
import type { Peer } from './backplane.js';

/** What a node says of itself several times a lease. */
export interface Beat extends Progress {
  readonly node: string;
  readonly name: string;
  /** Counts the beats of the node. */
  readonly count: number;
}

interface Node {
  name: string;
  /** Everything up to this number has been heard, or need not be. */
  heardThrough: number;
  /** The same of numbers beyond a gap: announcements by way of different servers overtake each other. */
  readonly ahead: Set<number>;
  /** As its last beat said. */
  through: number;
  open: ReadonlySet<number>;
  /** When the latest beat that had come back to us was sent, as the node was last heard: what it says is no older. */
  freshAsOfMs: number;
  /** When its last beat came. */
  heardMs: number;
  gapSinceMs: number | undefined;
}

/** An announcement that was overtaken by a beat may still come for so long. */
const OVERTAKEN_MS = 250;
const NEVER = -Infinity;

/**
 * Decides whether this node has heard all that others have announced. Trust is a lease: it lasts for a bounded time
 * from the moment at which the last of our own beats was sent that has come back to us, and at which every node that is
 * registered was heard, without a number missing. Time is given by the caller, in milliseconds of a clock that never
 * goes back.
 */
export class Ledger {
  epoch = 0;
  gaps = 0;
  private listening = false;
  private echoMs = NEVER;
  private registered: ReadonlySet<string>;
  private registeredMs = NEVER;
  private readonly nodes = new Map<string, Node>();
  private until = NEVER;

  constructor(
    private readonly self: string,
    private leaseMs: number,
  ) {
    this.registered = new Set([self]);
  }

  /** Until when copies may be trusted. */
  get trustedUntilMs(): number {
    return this.until;
  }

  /** When the last of our own beats was sent that has come back. */
  get echoedAtMs(): number {
    return this.echoMs;
  }

  setLease(leaseMs: number): void {
    this.leaseMs = leaseMs;
    this.judge();
  }

  startListening(): void {
    this.listening = true;
  }

  /** Nothing is heard any more. What was missed shows in the numbers once we listen again. */
  stopListening(): void {
    this.listening = false;
    this.echoMs = NEVER;
    for (const node of this.nodes.values()) node.freshAsOfMs = NEVER;
    this.judge();
  }

  /** The server may have lost what it had acknowledged. */
  serverChanged(): void {
    this.epoch++;
  }

  announcement(id: string, sequence: number, nowMs: number): void {
    const node = this.nodes.get(id);
    if (!node) {
      this.meet(id, '', sequence, nowMs);
      return;
    }
    if (sequence <= node.heardThrough) return;
    node.ahead.add(sequence);
    advance(node);
    if (node.gapSinceMs === undefined || hasGap(node)) return;
    node.gapSinceMs = undefined;
    this.judge();
  }

  /** @param sentMs when a beat of our own was sent */
  beat(beat: Beat, nowMs: number, sentMs?: number): void {
    if (sentMs !== undefined) this.echoMs = Math.max(this.echoMs, sentMs);
    const known = this.nodes.get(beat.node);
    const node = known ?? this.meet(beat.node, beat.name, beat.through, nowMs);
    node.name = beat.name;
    node.freshAsOfMs = this.echoMs;
    node.heardMs = nowMs;
    node.through = beat.through;
    node.open = new Set(beat.open);
    for (const sequence of beat.never) if (sequence > node.heardThrough) node.ahead.add(sequence);
    if (!known) {
      node.heardThrough = Math.min(node.heardThrough, ...beat.open.map((sequence) => sequence - 1));
      writeOff(node);
    }
    catchUp(node);
    if (!hasGap(node)) node.gapSinceMs = undefined;
    else node.gapSinceMs ??= nowMs;
    this.judge();
  }

  /**
   * A node has ended, and announces nothing any more.
   * @param through its last number
   */
  goodbye(id: string, through: number): void {
    if (id === this.self) return;
    const node = this.nodes.get(id);
    // Not heard since we listen again, if ever: what it announced meanwhile is missing.
    let isMissing = !node || node.freshAsOfMs === NEVER;
    if (node) {
      node.through = Math.max(node.through, through);
      node.open = new Set();
      isMissing ||= hasGap(node);
    }
    if (isMissing) this.epoch++;
    this.nodes.delete(id);
    this.registered = new Set([...this.registered].filter((other) => other !== id));
    this.judge();
  }

  /** @param sentMs when the list was asked for */
  register(ids: readonly string[], sentMs: number): void {
    const listed = new Set(ids);
    for (const id of this.nodes.keys()) {
      if (listed.has(id) || id === this.self) continue;
      // It died or was cut off, and nobody knows what it has announced last.
      this.nodes.delete(id);
      this.epoch++;
    }
    this.registered = listed;
    this.registeredMs = sentMs;
    this.judge();
  }

  /** Gives up waiting for what is missing for too long: everything held is to be checked. */
  giveUpGaps(nowMs: number): void {
    for (const node of this.nodes.values()) {
      if (node.gapSinceMs === undefined || nowMs - node.gapSinceMs < OVERTAKEN_MS) continue;
      node.gapSinceMs = undefined;
      writeOff(node);
      catchUp(node);
      this.epoch++;
      this.gaps++;
    }
    this.judge();
  }

  peers(nowMs: number): Peer[] {
    return [...this.nodes]
      .filter(([id]) => this.registered.has(id))
      .map(([id, { name, heardMs }]) => ({ id, name, silentMs: nowMs - heardMs }));
  }

  /** A node not known before. What it has announced so far may concern what is held. */
  private meet(id: string, name: string, sequence: number, nowMs: number): Node {
    const node: Node = {
      name,
      heardThrough: sequence,
      ahead: new Set(),
      through: sequence,
      open: new Set(),
      freshAsOfMs: NEVER,
      heardMs: nowMs,
      gapSinceMs: undefined,
    };
    this.nodes.set(id, node);
    if (sequence > 0) this.epoch++;
    return node;
  }

  private judge(): void {
    let freshMs = this.listening ? Math.min(this.echoMs, this.registeredMs) : NEVER;
    for (const id of this.registered) {
      const node = this.nodes.get(id);
      freshMs = node && node.gapSinceMs === undefined ? Math.min(freshMs, node.freshAsOfMs) : NEVER;
    }
    this.until = freshMs + this.leaseMs;
  }
}

function catchUp(node: Node): void {
  for (const sequence of node.ahead) if (sequence <= node.heardThrough) node.ahead.delete(sequence);
  advance(node);
}

function advance(node: Node): void {
  while (node.ahead.delete(node.heardThrough + 1)) node.heardThrough++;
}

/** Whether a number is missing that is neither heard nor under way. */
function hasGap({ heardThrough, through, ahead, open }: Node): boolean {
  let accounted = 0;
  for (const sequence of ahead) if (sequence > heardThrough && sequence <= through) accounted++;
  for (const sequence of open) if (sequence > heardThrough && sequence <= through && !ahead.has(sequence)) accounted++;
  return accounted < through - heardThrough;
}

/** What is missing is not waited for any more. What is under way still counts. */
function writeOff(node: Node): void {
  // After a long interruption there are millions up to the first that is under way.
  const underWay = [...node.open].filter((sequence) => sequence > node.heardThrough && !node.ahead.has(sequence));
  node.heardThrough = Math.max(node.heardThrough, Math.min(node.through, ...underWay.map((sequence) => sequence - 1)));
  for (let sequence = node.heardThrough + 1; sequence <= node.through; sequence++) {
    if (!node.open.has(sequence)) node.ahead.add(sequence);
  }
}
