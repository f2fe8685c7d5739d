import Fastify from 'fastify';

/**
 * What any Node service costs at least: a route of Fastify that returns the bytes that the cache returns, and does
 * nothing for them. Bodies of PUT are parsed as JSON, as every service must that takes JSON.
 *
 * Started with the two bodies in BENCH_GET_BODY and BENCH_PUT_BODY; prints its address.
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
process.stdout.write(`listening on ${await fastify.listen({ port: 0, host: '127.0.0.1' })}\n`);
