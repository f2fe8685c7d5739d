import Fastify from 'fastify';
import { createClient } from 'redis';

/**
 * What any Node service costs at least: a route of Fastify that returns the bytes that the cache returns, and does
 * nothing for them. Bodies of PUT are parsed as JSON, as every service must that takes JSON.
 *
 * Its bulk get is one MGET, of which the answer is put together as the cache has it.
 *
 * Started with the two bodies in BENCH_GET_BODY and BENCH_PUT_BODY, the values in a database of Redis at BENCH_REDIS_URL;
 * prints its address.
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
process.stdout.write(`listening on ${await fastify.listen({ port: 0, host: '127.0.0.1' })}\n`);
