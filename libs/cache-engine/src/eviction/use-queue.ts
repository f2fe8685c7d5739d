import type { Evictable } from './policy.js';

/** Entries in the order of their use, linked through themselves: every step is constant and allocates nothing. */
export class UseQueue {
  newest: Evictable | undefined;
  oldest: Evictable | undefined;
  count = 0;
  bytes = 0;

  /** @param place what the entries in this queue are marked with */
  constructor(readonly place = 0) {}

  push(node: Evictable): void {
    node.place = this.place;
    node.older = this.newest;
    node.newer = undefined;
    if (this.newest) this.newest.newer = node;
    else this.oldest = node;
    this.newest = node;
    this.count++;
    this.bytes += node.costBytes;
  }

  remove(node: Evictable): void {
    this.unlink(node);
    node.newer = node.older = undefined;
    this.count--;
    this.bytes -= node.costBytes;
  }

  /** Makes an entry the newest. */
  touch(node: Evictable): void {
    const { newest } = this;
    if (node === newest || !newest) return;
    this.unlink(node);
    node.older = newest;
    node.newer = undefined;
    newest.newer = node;
    this.newest = node;
  }

  resize(node: Evictable, costBytes: number): void {
    this.bytes += costBytes - node.costBytes;
    node.costBytes = costBytes;
  }

  shift(): Evictable | undefined {
    const node = this.oldest;
    if (node) this.remove(node);
    return node;
  }

  private unlink({ newer, older }: Evictable): void {
    if (newer) newer.older = older;
    else this.newest = older;
    if (older) older.newer = newer;
    else this.oldest = newer;
  }
}
