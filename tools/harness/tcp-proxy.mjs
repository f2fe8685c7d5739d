import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Stands between a client and a server on 127.0.0.1 and fails as networks do.
 *
 * @typedef {object} TcpProxy
 * @property {number} port
 * @property {(scheme: string) => string} url such as `redis://127.0.0.1:1234`
 * @property {() => Promise<void>} pass all bytes at once, held ones first, and new connections again
 * @property {() => void} stall holds all bytes; connections stay open and new ones are taken
 * @property {(ms: number) => Promise<void>} delay passes every byte so much later, in each direction
 * @property {() => void} reset drops all connections with RST and refuses new ones
 * @property {() => void} refuse new connections; those that are open go on
 * @property {() => Promise<void>} stop
 */

/**
 * @param {number} targetPort
 * @returns {Promise<TcpProxy>} that passes everything
 */
export async function startTcpProxy(targetPort) {
  /** @type {Set<net.Socket>} */
  const sockets = new Set();
  let delayMs = 0;
  /** @type {{ over: Promise<void>, end: () => void } | null} */
  let stalled = null;

  /** @param {net.Socket} from @param {net.Socket} to */
  const pump = (from, to) => {
    /** @type {Promise<unknown>} */
    let queue = Promise.resolve();
    const later = (/** @type {() => void} */ deliver) => {
      const dueAt = performance.now() + delayMs;
      queue = queue.then(async () => {
        const waitMs = dueAt - performance.now();
        if (waitMs > 0) await sleep(waitMs);
        // Looked at only now: what waits for its delay is held too.
        await stalled?.over;
        if (!to.destroyed) deliver();
      });
    };
    from.on('data', (chunk) => later(() => to.write(chunk)));
    from.on('end', () => later(() => to.end()));
  };

  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    const upstream = net.connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true });
    for (const [socket, other] of /** @type {const} */ ([
      [client, upstream],
      [upstream, client],
    ])) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => other.resetAndDestroy());
      socket.on('close', () => sockets.delete(socket));
      pump(socket, other);
    }
  });
  const listen = async (/** @type {number} */ port) => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return /** @type {net.AddressInfo} */ (server.address()).port;
  };
  const port = await listen(0);

  const pass = async () => {
    delayMs = 0;
    stalled?.end();
    stalled = null;
    if (!server.listening) await listen(port);
  };
  const refuse = () => {
    // The port itself refuses then, as that of a server which is not there.
    if (server.listening) server.close();
  };
  const reset = () => {
    refuse();
    sockets.forEach((socket) => socket.resetAndDestroy());
  };
  return {
    port,
    url: (scheme) => `${scheme}://127.0.0.1:${port}`,
    pass,
    refuse,
    reset,
    stall: () => {
      stalled ??= newStall();
    },
    async delay(ms) {
      await pass();
      delayMs = ms;
    },
    async stop() {
      const closed = server.listening ? once(server, 'close') : null;
      reset();
      stalled?.end();
      await closed;
    },
  };
}

function newStall() {
  let end = () => {};
  /** @type {Promise<void>} */
  const over = new Promise((resolve) => (end = resolve));
  return { over, end };
}
