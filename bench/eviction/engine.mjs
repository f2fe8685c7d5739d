/** The engine as it is built: what is measured is what is shipped. */
const DIST = new URL('../../libs/cache-engine/dist/', import.meta.url);

/** @returns {Promise<typeof import('../../libs/cache-engine/src/eviction/create-policy.js')>} */
export function importPolicies() {
  return import(new URL('eviction/create-policy.js', DIST).href);
}

/** @returns {Promise<typeof import('../../libs/cache-engine/src/layers/memory.js')>} */
export function importMemoryLayer() {
  return import(new URL('layers/memory.js', DIST).href);
}
