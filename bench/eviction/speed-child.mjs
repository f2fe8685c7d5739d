import { LRUCache } from 'lru-cache';
import { importMemoryLayer, importPolicies } from './engine.mjs';
import { Index } from './replay.mjs';

/**
 * Measures one peer and prints the medians. Hits go to half of what is there; of the writes, half replace and half evict.
 * Processor time is counted, garbage collection included.
 */
const ENTRIES = 20_000;
const OPERATIONS = 200_000;
const ROUNDS = 6;
/** What an entry of a kilobyte costs in L1, roughly. */
const COST_BYTES = 1600;
const VALUE = Buffer.alloc(1000, 'x');

const keys = Array.from({ length: 2 * ENTRIES }, (_, index) => `tenant:user:${index * 7919}:profile`);
const warm = keys.slice(0, ENTRIES / 2);
const hits = Array.from({ length: OPERATIONS }, () => pick(warm));
const writes = Array.from({ length: OPERATIONS }, () => pick(keys));
const peer = await makePeer(process.argv[2] ?? '');

/** @type {[hit: number[], set: number[], bytes: number[]]} */
const measured = [[], [], []];
for (let round = 0; round <= ROUNDS; round++) {
  for (const key of warm) peer.set(key);
  const [hit, bytes] = timed(() => {
    for (let at = 0; at < OPERATIONS; at++) peer.get(hits[at] ?? '');
  });
  const [set] = timed(() => {
    for (let at = 0; at < OPERATIONS; at++) peer.set(writes[at] ?? '');
  });
  // The first round warms up.
  if (round > 0) [hit, set, bytes].forEach((figure, index) => measured[index]?.push(figure));
}
const [hit, set, bytes] = measured.map((figures) => figures.sort((a, b) => a - b)[ROUNDS / 2]);
process.stdout.write(JSON.stringify({ hit, set, bytes }));

/** @param {string} name @returns {Promise<{ get: (key: string) => unknown, set: (key: string) => unknown }>} */
async function makePeer(name) {
  if (name === 'npm lru-cache') {
    const cache = new LRUCache({ max: ENTRIES });
    return { get: (key) => cache.get(key), set: (key) => cache.set(key, VALUE) };
  }
  if (name === 'npm lru-cache, copying') {
    const cache = new LRUCache({ max: ENTRIES });
    return { get: (key) => cache.get(key), set: (key) => cache.set(key, { ...entry(1), payload: ownCopy() }) };
  }
  const [policy, what] = name.split(', ');
  if (what === 'index') {
    const { createPolicy } = await importPolicies();
    return new Index(createPolicy(/** @type {'lru'} */ (policy)), ENTRIES);
  }
  const { MemoryLayer } = await importMemoryLayer();
  const layer = new MemoryLayer(ENTRIES * COST_BYTES, /** @type {'lru'} */ (policy));
  let revision = 0;
  return { get: (key) => layer.peek(key, 1), set: (key) => layer.hold(key, entry(++revision), 0) };
}

/** @param {number} revision */
function entry(revision) {
  return {
    version: revision,
    revision,
    createdAtMs: 0,
    updatedAtMs: 0,
    expiresAtMs: 0,
    format: /** @type {const} */ ('json'),
    ascii: true,
    defaultTtl: false,
    payload: VALUE,
  };
}

function ownCopy() {
  const own = Buffer.allocUnsafeSlow(VALUE.length);
  VALUE.copy(own);
  return own;
}

/** @param {string[]} from */
function pick(from) {
  return /** @type {string} */ (from[Math.floor(Math.random() * from.length)]);
}

/** @param {() => void} run @returns {[ns: number, bytes: number]} per operation */
function timed(run) {
  globalThis.gc?.();
  const heap = process.memoryUsage().heapUsed;
  const started = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(started);
  const grown = process.memoryUsage().heapUsed - heap;
  return [((user + system) * 1000) / OPERATIONS, grown / OPERATIONS];
}
