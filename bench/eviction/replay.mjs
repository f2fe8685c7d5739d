/**
 * @typedef {import('../../libs/cache-engine/src/eviction/policy.js').EvictionPolicy} EvictionPolicy
 * @typedef {import('../../libs/cache-engine/src/eviction/policy.js').Evictable} Evictable
 */

/** @param {string} key @returns {Evictable} an entry that costs as much as any other */
function unit(key) {
  return { key, costBytes: 1, heldUntilMs: 0, newer: undefined, older: undefined, place: 0, hash: 0, uses: 0 };
}

/** A table with a policy and nothing else: what `EntryStore` is without the entries. */
export class Index {
  /** @type {Map<string, Evictable>} */
  #nodes = new Map();
  #policy;
  #capacity;

  /** @param {EvictionPolicy} policy @param {number} capacity in entries */
  constructor(policy, capacity) {
    this.#policy = policy;
    this.#capacity = capacity;
    policy.limit(capacity);
  }

  /** @param {string} key */
  get(key) {
    const node = this.#nodes.get(key);
    if (node !== undefined) this.#policy.use(node);
    return node;
  }

  /** @param {string} key */
  set(key) {
    const present = this.#nodes.get(key);
    if (present !== undefined) return this.#policy.use(present);
    const node = unit(key);
    this.#policy.arrive(node);
    while (this.#nodes.size >= this.#capacity) {
      const victim = this.#policy.victim(1);
      if (victim === undefined) return;
      this.#nodes.delete(victim.key);
    }
    this.#nodes.set(key, node);
    this.#policy.add(node);
  }
}

/**
 * @param {EvictionPolicy} policy
 * @param {string[]} keys
 * @param {number} capacity in entries
 * @returns {number} hit ratio in percent
 */
export function replay(policy, keys, capacity) {
  const index = new Index(policy, capacity);
  let hits = 0;
  for (const key of keys) {
    if (index.get(key) === undefined) index.set(key);
    else hits++;
  }
  return (hits / keys.length) * 100;
}
