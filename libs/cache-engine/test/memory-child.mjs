import { pathToFileURL } from 'node:url';

/**
 * Fills an L1 and then keeps replacing what is in it by values of other sizes; prints what the process has taken beyond
 * the idle one, at each turn: `node --expose-gc memory-child.mjs <built engine> <size in MB> <policy>`.
 */
const [, , built, megabytes, policy] = process.argv;
const MIB = 1024 * 1024;
const { MemoryLayer } = await import(pathToFileURL(`${built}/layers/memory.js`).href);
const payloads = new Map();

/** @param {number} bytes @param {number} revision */
function entry(bytes, revision) {
  if (!payloads.has(bytes)) payloads.set(bytes, Buffer.alloc(bytes, 'x'));
  const stamp = { version: revision, revision, createdAtMs: Date.now(), updatedAtMs: Date.now(), expiresAtMs: 0 };
  return { ...stamp, format: 'json', ascii: true, defaultTtl: false, payload: payloads.get(bytes) };
}

function usedBytes() {
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

let revision = 0;
for (const size of [100, 1000, 100_000]) entry(size, 0);
const idle = usedBytes();
const layer = new MemoryLayer(Number(megabytes) * MIB, policy);
const samples = [];
const tenths = [0, 0, 0, 0, 0, 1, 1, 1, 1, 2];
/** @type {Record<string, () => number>} */
const mixes = {
  'equal parts': () => [100, 1000, 100_000][revision % 3] ?? 0,
  'small ones only': () => 100,
  'as most caches are': () => [100, 1000, 100_000][tenths[Math.floor(Math.random() * 10)] ?? 0] ?? 0,
  anything: () => 1 + Math.floor(4 ** (Math.random() * 8.5)),
  'equal parts again': () => [100, 1000, 100_000][revision % 3] ?? 0,
};
for (const [when, size] of Object.entries(mixes)) {
  let maxSize = 0;
  for (let round = 0; round < 80_000; round++) {
    const key = `namespace:key:${Math.floor(Math.random() * 400_000)}`;
    const expiry = round % 2 === 0 ? 0 : Date.now() + 3_600_000;
    layer.hold(key, entry(size(), ++revision), expiry);
    if (round % 3 === 0) layer.peek(key, Date.now());
    if (round % 50 === 0) layer.drop(`namespace:key:${Math.floor(Math.random() * 400_000)}`);
    if (layer.sizeBytes > maxSize) maxSize = layer.sizeBytes;
  }
  if (when === 'anything') payloads.clear();
  const usedMb = (usedBytes() - idle) / MIB;
  samples.push({ when, usedMb, count: layer.count, sizeMb: layer.sizeBytes / MIB, maxSizeMb: maxSize / MIB });
}
await layer.close();
process.stdout.write(JSON.stringify(samples));
