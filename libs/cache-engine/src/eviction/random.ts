import type { Evictable, EvictionPolicy } from './policy.js';

/** Any entry goes, each as likely as another. The place of an entry is its index. */
export class RandomPolicy implements EvictionPolicy {
  private readonly nodes: Evictable[] = [];

  limit(): void {
    // The choice does not depend on it.
  }

  arrive(): void {
    // Everything is taken.
  }

  victim(): Evictable | undefined {
    const node = this.nodes[Math.floor(Math.random() * this.nodes.length)];
    if (node) this.remove(node);
    return node;
  }

  add(node: Evictable): void {
    node.place = this.nodes.length;
    this.nodes.push(node);
  }

  use(): void {
    // The choice does not depend on it.
  }

  resize(node: Evictable, costBytes: number): void {
    node.costBytes = costBytes;
  }

  /** The last takes the place of the one that goes. */
  remove(node: Evictable): void {
    const last = this.nodes.pop();
    if (!last || last === node) return;
    this.nodes[node.place] = last;
    last.place = node.place;
  }
}
