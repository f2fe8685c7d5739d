import type { Evictable, EvictionPolicy } from './policy.js';
import { UseQueue } from './use-queue.js';

/** The least recently used goes first. */
export class LruPolicy implements EvictionPolicy {
  private readonly queue = new UseQueue();

  limit(): void {
    // The order does not depend on it.
  }

  arrive(): void {
    // Everything is taken.
  }

  victim(): Evictable | undefined {
    return this.queue.shift();
  }

  add(node: Evictable): void {
    this.queue.push(node);
  }

  use(node: Evictable): void {
    this.queue.touch(node);
  }

  resize(node: Evictable, costBytes: number): void {
    this.queue.resize(node, costBytes);
  }

  remove(node: Evictable): void {
    this.queue.remove(node);
  }
}
