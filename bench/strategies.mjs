import { load } from './wrk.mjs';

/** Sources of the API that is measured with them, by the prefixes of their keys. @param {string} url of the source */
export function sourcesConfig(url) {
  const source = (/** @type {string} */ name, /** @type {object} */ more, /** @type {object} */ http) => ({
    name,
    prefix: `${name}:`,
    type: 'http',
    ...more,
    http: { url: `${url}/${name}/{suffix}`, max_connections: 64, ...http },
  });
  const definitions = [source('stock', {}, { store: {} }), source('cold', { ttl: COLD_TTL_SECONDS }, {})];
  return JSON.stringify({ allowed_hosts: ['127.0.0.1'], definitions });
}

/** Keys that are read once only do not fill Redis for ever. */
export const COLD_TTL_SECONDS = 10;

/**
 * What a PUT costs with each strategy, of keys that live in a source and of keys that do not, and a GET that goes to the
 * source or need not.
 *
 * @param {object} servers
 * @param {{ url: string, apiKey: string }} servers.onRedis
 * @param {{ url: string, apiKey: string }} servers.withSources
 * @param {{ url: string }} servers.fastify
 * @param {import('./source.mjs').Source} servers.source
 * @param {{ keys: number, body: string }} options
 */
export function strategyCases({ onRedis, withSources, fastify, source }, { keys, body }) {
  const env = { BENCH_KEYS: String(keys), BENCH_BODY: body };
  /** @param {{ url: string, apiKey?: string }} server @param {string} script @param {string} path @param {string} [query] */
  const run = (server, script, path, query = '') => ({
    /** @param {number} seconds */
    run: (seconds) =>
      load(server.url, script, {
        seconds,
        env: { ...env, BENCH_PATH: path, BENCH_QUERY: query },
        ...(server.apiKey && { headers: [`X-API-Key: ${server.apiKey}`] }),
      }),
  });
  /** @param {string} strategy */
  const put = (strategy) => run(onRedis, 'put.lua', '/v1/cache/bench:', `?strategy=${strategy}`);
  /** @param {string} strategy */
  const putToSource = (strategy) =>
    afterwards(run(withSources, 'put.lua', '/v1/cache/stock:', `?strategy=${strategy}`), source, 'stores');
  return /** @type {const} */ ({
    'fastify-set': { peer: 'fastify-set', ...run(fastify, 'put.lua', '/set/bench:') },
    'put-through': { peer: 'fastify-set', ...put('write-through') },
    'put-behind': { peer: 'fastify-set', ...put('write-behind') },
    'put-around': { peer: 'fastify-set', ...put('write-around') },
    'fastify-source-set': {
      peer: 'fastify-source-set',
      ...afterwards(run(fastify, 'put.lua', '/source/stock:'), source, 'stores'),
    },
    'put-through-source': { peer: 'fastify-source-set', ...putToSource('write-through') },
    'put-behind-source': { peer: 'fastify-source-set', ...putToSource('write-behind') },
    'put-around-source': { peer: 'fastify-source-set', ...putToSource('write-around') },
    'fastify-source-get': {
      peer: 'fastify-source-get',
      ...afterwards(run(fastify, 'new-keys.lua', '/source/cold:'), source, 'loads'),
    },
    'get-source-cold': {
      peer: 'fastify-source-get',
      ...afterwards(run(withSources, 'new-keys.lua', '/v1/cache/cold:'), source, 'loads'),
    },
    'get-source-warm': { peer: 'fastify-get', ...run(withSources, 'one-key.lua', '/v1/cache/stock:') },
  });
}

/**
 * Makes sure that the source took part, and that what it is still to be told does not slow the next case down.
 *
 * @param {{ run: (seconds: number) => Promise<import('./wrk.mjs').Measurement> }} measured
 * @param {import('./source.mjs').Source} source @param {'loads' | 'stores'} kind
 */
function afterwards({ run }, source, kind) {
  return {
    /** @param {number} seconds */
    async run(seconds) {
      const before = source.asked[kind];
      const measurement = await run(seconds);
      await source.idle();
      if (source.asked[kind] === before) throw new Error(`the source has not been asked: no ${kind}`);
      return measurement;
    },
  };
}
