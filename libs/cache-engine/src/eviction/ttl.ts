import type { Evictable, EvictionPolicy } from './policy.js';
import { UseQueue } from './use-queue.js';

const NEVER_EXPIRES = -1;

/**
 * What expires first goes first; then, the least recently used first, what does not expire. A binary heap, in which an
 * entry knows its index. The times lie beside the entries, so that a comparison touches one array only.
 */
export class TtlPolicy implements EvictionPolicy {
  private readonly heap: Evictable[] = [];
  private times = new Float64Array(64);
  private readonly unlimited = new UseQueue(NEVER_EXPIRES);

  limit(): void {
    // The order does not depend on it.
  }

  arrive(): void {
    // Everything is taken.
  }

  victim(): Evictable | undefined {
    const node = this.heap[0];
    if (!node) return this.unlimited.shift();
    this.remove(node);
    return node;
  }

  add(node: Evictable): void {
    if (node.heldUntilMs === 0) return this.unlimited.push(node);
    const index = this.heap.length;
    if (index === this.times.length) {
      const wider = new Float64Array(index * 2);
      wider.set(this.times);
      this.times = wider;
    }
    this.heap.push(node);
    this.settle(index, node, node.heldUntilMs);
  }

  use(node: Evictable): void {
    const { place, heldUntilMs } = node;
    if (place === NEVER_EXPIRES && heldUntilMs === 0) return this.unlimited.touch(node);
    if (place !== NEVER_EXPIRES && this.times[place] === heldUntilMs) return;
    this.remove(node);
    this.add(node);
  }

  resize(node: Evictable, costBytes: number): void {
    if (node.place === NEVER_EXPIRES) this.unlimited.resize(node, costBytes);
    else node.costBytes = costBytes;
  }

  remove(node: Evictable): void {
    if (node.place === NEVER_EXPIRES) return this.unlimited.remove(node);
    const last = this.heap.pop();
    if (last && last !== node) this.settle(node.place, last, this.timeAt(this.heap.length));
  }

  /** Puts an entry where it belongs, starting from an index that is free. */
  private settle(start: number, node: Evictable, timeMs: number): void {
    let index = start;
    for (let parent = (index - 1) >> 1; index > 0 && this.timeAt(parent) > timeMs; parent = (index - 1) >> 1) {
      this.moveTo(index, parent);
      index = parent;
    }
    for (;;) {
      let child = 2 * index + 1;
      if (child + 1 < this.heap.length && this.timeAt(child + 1) < this.timeAt(child)) child++;
      if (child >= this.heap.length || this.timeAt(child) >= timeMs) break;
      this.moveTo(index, child);
      index = child;
    }
    this.heap[index] = node;
    this.times[index] = timeMs;
    node.place = index;
  }

  private moveTo(index: number, from: number): void {
    const node = this.heap[from] as Evictable;
    this.heap[index] = node;
    this.times[index] = this.timeAt(from);
    node.place = index;
  }

  private timeAt(index: number): number {
    return this.times[index] as number;
  }
}
