import { once } from 'node:events';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const IDLE_MS = 200;

/**
 * A source that answers at once and knows what it was asked: each GET with the same value, each PUT with 204.
 *
 * @param {string} value JSON
 */
export async function startSource(value) {
  const asked = { loads: 0, stores: 0 };
  let lastMs = 0;
  const server = http.createServer((request, response) => {
    lastMs = performance.now();
    request.resume();
    request.on('end', () => {
      if (request.method === 'PUT') {
        asked.stores++;
        response.writeHead(204).end();
      } else {
        asked.loads++;
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(value) });
        response.end(value);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    /** Resolves when nobody has asked for a while: what was to be written later has been written. */
    async idle() {
      while (performance.now() - lastMs < IDLE_MS) await sleep(IDLE_MS / 4);
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** @typedef {Awaited<ReturnType<typeof startSource>>} Source */
