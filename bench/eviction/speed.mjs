import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('./speed-child.mjs', import.meta.url));
const ROUNDS = 5;
/** Each with what it is compared with. */
const PEERS = {
  'npm lru-cache': 'npm lru-cache',
  'lru, index': 'npm lru-cache',
  'lfu, index': 'npm lru-cache',
  'ttl, index': 'npm lru-cache',
  'random, index': 'npm lru-cache',
  'npm lru-cache, copying': 'npm lru-cache, copying',
  'lru, MemoryLayer': 'npm lru-cache, copying',
  'lfu, MemoryLayer': 'npm lru-cache, copying',
};

/** @typedef {{ hit: number, set: number, bytes: number }} Measured nanoseconds of a hit and a set, heap bytes of a hit */

/**
 * Time per hit and per write against npm lru-cache. Rounds are interleaved, and each peer has a process of its own in
 * each, since no service runs several policies: V8 would compile the shared code for none of them.
 */
export function measureSpeed() {
  const names = /** @type {(keyof typeof PEERS)[]} */ (Object.keys(PEERS));
  /** @type {Record<string, Measured[]>} */
  const measured = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) for (const name of names) measured[name]?.push(measure(name));
  return names.map((name) => {
    const own = measured[name] ?? [];
    const base = measured[PEERS[name]] ?? [];
    return {
      name,
      hitNs: median(own.map(({ hit }) => hit)),
      hitRatio: median(own.map(({ hit }, round) => hit / (base[round]?.hit ?? NaN))),
      setNs: median(own.map(({ set }) => set)),
      setRatio: median(own.map(({ set }, round) => set / (base[round]?.set ?? NaN))),
      bytesPerHit: median(own.map(({ bytes }) => bytes)),
    };
  });
}

/** @param {string} name @returns {Measured} */
function measure(name) {
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--expose-gc', CHILD, name], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${name}: ${stderr}`);
  return /** @type {Measured} */ (JSON.parse(stdout));
}

/** @param {number[]} figures */
function median(figures) {
  return figures.sort((a, b) => a - b)[Math.floor(figures.length / 2)] ?? NaN;
}
