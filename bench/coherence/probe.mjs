import { quantiles } from '../../tools/harness/coherence/check.mjs';
import { NodeClient } from '../../tools/harness/coherence/http-client.mjs';

/**
 * Writes through one node and reads through another, which has the old value in its L1, until it answers with the new
 * one: milliseconds from the end of the write to the end of that answer.
 *
 * @param {readonly { url: string, apiKey: string }[]} apis @param {number} rounds
 * @returns {Promise<string[]>} rounds, p50, p99, max, and how often the first answer after the write was still old
 */
export async function probe(apis, rounds) {
  const [writer, reader] = apis.slice(0, 2).map((api) => new NodeClient(api));
  if (!writer || !reader) throw new Error('it takes two nodes');
  const path = '/v1/cache/probe';
  /** @type {number[]} */
  const delays = [];
  let old = 0;
  for (let round = -20; round < rounds; round++) {
    await untilInL1(reader, path, await put(writer, path, round));
    const { etag, endMs } = await put(writer, path, round + 0.5);
    let answer = await reader.send('GET', path);
    if (answer.headers['etag'] !== etag && round >= 0) old++;
    while (answer.headers['etag'] !== etag) answer = await reader.send('GET', path);
    // The first ones warm up.
    if (round >= 0) delays.push(answer.endMs - endMs);
  }
  writer.close();
  reader.close();
  const { p50Ms, p99Ms, maxMs } = quantiles(delays);
  return [String(rounds), p50Ms.toFixed(2), p99Ms.toFixed(2), maxMs.toFixed(2), String(old)];
}

/** @param {NodeClient} node @param {string} path @param {number} value */
async function put(node, path, value) {
  const { status, headers, endMs, text } = await node.send('PUT', path, { body: { value } });
  if (status !== 200 && status !== 201) throw new Error(`cannot write: ${status} ${text}`);
  return { etag: headers['etag'], endMs };
}

/** @param {NodeClient} node @param {string} path @param {{ etag: unknown }} written */
async function untilInL1(node, path, { etag }) {
  for (;;) {
    const { headers } = await node.send('GET', path);
    if (headers['etag'] === etag && headers['x-cache-layer'] === 'L1') return;
  }
}
