import http from 'node:http';

const CONCURRENCY = 64;

/**
 * Stores `keys` entries, `bench:0` onwards.
 *
 * @param {{ url: string, apiKey: string }} api
 * @param {number} keys
 * @param {string} body
 */
export async function fill({ url, apiKey }, keys, body) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: CONCURRENCY });
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'x-api-key': apiKey,
  };
  let next = 0;
  const worker = async () => {
    while (next < keys) await put(`${url}/v1/cache/bench:${next++}`, { agent, headers, method: 'PUT' }, body);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  agent.destroy();
}

/** @param {string} url @param {http.RequestOptions} options @param {string} body @returns {Promise<void>} */
function put(url, options, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, options, (response) => {
      response.resume();
      response.on('end', () => {
        if (response.statusCode === 200 || response.statusCode === 201) resolve();
        else reject(new Error(`PUT ${url} answered ${response.statusCode}`));
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}
