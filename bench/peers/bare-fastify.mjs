import http from 'node:http';
import Fastify from 'fastify';
import { createClient } from 'redis';

/**
 * What any Node service costs at least: a route of Fastify that returns the bytes that the cache returns, and does
 * nothing for them. Bodies of PUT are parsed as JSON, as every service must that takes JSON.
 *
 * Its bulk get is one MGET, of which the answer is put together as the cache has it.
 *
 * `/set/…` does what a PUT has to do at least, one SET; `/source/…` is the cache that many services have in their own code:
 * a PUT goes to the source and then to Redis, a GET to Redis and, where that has nothing, to the source.
 *
 * Started with the two bodies in BENCH_GET_BODY and BENCH_PUT_BODY, the values in a database of Redis at BENCH_REDIS_URL, the
 * source at BENCH_SOURCE_URL and the seconds that its values live in Redis in BENCH_SOURCE_TTL; prints its address.
 */
const getBody = process.env['BENCH_GET_BODY'] ?? '';
const putBody = process.env['BENCH_PUT_BODY'] ?? '';
const fastify = Fastify();
fastify.get('/v1/cache/:key', (_request, reply) => {
  reply.header('content-type', 'application/json; charset=utf-8').send(getBody);
});
fastify.put('/v1/cache/:key', (_request, reply) => {
  reply.header('content-type', 'application/json; charset=utf-8').send(putBody);
});
const redis = createClient({ url: process.env['BENCH_REDIS_URL'] ?? '' });
await redis.connect();
const sourceUrl = process.env['BENCH_SOURCE_URL'] ?? '';
const sourceTtlSeconds = Number(process.env['BENCH_SOURCE_TTL']);
const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
fastify.post('/v1/cache/bulk/get', async (request, reply) => {
  const { keys } = /** @type {{ keys: string[] }} */ (request.body);
  const values = await redis.mGet(keys);
  const results = keys.map(
    (key, index) => `${JSON.stringify(key)}:{"status":"hit","value":${values[index]},"cache_layer":"L2"}`,
  );
  const summary = `{"total_keys":${keys.length},"hits":${keys.length},"misses":0,"hit_ratio":1}`;
  reply.header('content-type', 'application/json; charset=utf-8');
  return `{"results":{${results.join()}},"summary":${summary}}`;
});
fastify.put('/set/:key', async (request, reply) => {
  await redis.set(keyOf(request), valueOf(request));
  reply.header('content-type', 'application/json; charset=utf-8');
  return putBody;
});
fastify.put('/source/:key', async (request, reply) => {
  const [key, value] = [keyOf(request), valueOf(request)];
  await askSource('PUT', key, value);
  await redis.set(key, value);
  reply.header('content-type', 'application/json; charset=utf-8');
  return putBody;
});
fastify.get('/source/:key', async (request, reply) => {
  const key = keyOf(request);
  let value = await redis.get(key);
  if (value === null) {
    value = await askSource('GET', key);
    await redis.set(key, value, { expiration: { type: 'EX', value: sourceTtlSeconds } });
  }
  reply.header('content-type', 'application/json; charset=utf-8');
  return `{"key":${JSON.stringify(key)},"value":${value}}`;
});
process.stdout.write(`listening on ${await fastify.listen({ port: 0, host: '127.0.0.1' })}\n`);

/** @param {import('fastify').FastifyRequest} request */
function keyOf({ params }) {
  return /** @type {{ key: string }} */ (params).key;
}

/** @param {import('fastify').FastifyRequest} request */
function valueOf({ body }) {
  return JSON.stringify(/** @type {{ value: unknown }} */ (body).value);
}

/** @param {string} method @param {string} key @param {string} [body] @returns {Promise<string>} what it answers */
function askSource(method, key, body) {
  const headers =
    body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const request = http.request(`${sourceUrl}/peer/${key}`, { agent, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (/** @type {string} */ part) => (text += part));
      response.on('end', () => resolve(text));
    });
    request.on('error', reject);
    request.end(body);
  });
}
