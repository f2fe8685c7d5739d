import { once } from 'node:events';
import net from 'node:net';

/**
 * Sends one request over and over on plain sockets, in a process of its own, and says what came back. With a `rate` it
 * sends so many a second whatever the answers are (open loop): on a connection that is idle, and not at all where
 * none of its `connections` is. Without, each connection sends when it has its answer (closed loop).
 *
 * node generator.mjs '{"port", "request", "connections", "seconds", "rate"}'
 */
const { port, request, connections, seconds, rate } = JSON.parse(process.argv[2] ?? '{}');
const bytes = Buffer.from(request, 'latin1');
const TICK_MS = 2;

/** @type {Map<number, number[]>} milliseconds of each answer, by status */
const answers = new Map();
/** @type {Connection[]} */
const idle = [];
let unsent = 0;
let broken = 0;
let isOver = false;

/** @typedef {{ socket: net.Socket, received: string, sentAt: number }} Connection */

/** @returns {Promise<Connection>} */
async function connect() {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  const connection = { socket, received: '', sentAt: 0 };
  socket.setEncoding('latin1');
  socket.on('data', (/** @type {string} */ text) => read(connection, text));
  socket.on('error', () => undefined);
  socket.on('close', () => {
    if (!isOver) broken++;
    const at = idle.indexOf(connection);
    if (at >= 0) idle.splice(at, 1);
  });
  await once(socket, 'connect');
  return connection;
}

/** @param {Connection} connection */
function send(connection) {
  connection.sentAt = performance.now();
  connection.socket.write(bytes);
}

/** @param {Connection} connection @param {string} text */
function read(connection, text) {
  connection.received += text;
  const headEnd = connection.received.indexOf('\r\n\r\n');
  if (headEnd < 0) return;
  const [, length = '0'] = /\r\ncontent-length: (\d+)/i.exec(connection.received) ?? [];
  if (connection.received.length < headEnd + 4 + Number(length)) return;
  const status = Number(connection.received.slice(9, 12));
  const times = answers.get(status) ?? [];
  answers.set(status, times);
  times.push(performance.now() - connection.sentAt);
  connection.received = '';
  connection.sentAt = 0;
  if (rate === undefined && !isOver) send(connection);
  else idle.push(connection);
}

// Before the time begins: what is measured is requests.
for (let left = connections; left > 0; left -= 50) {
  idle.push(...(await Promise.all(Array.from({ length: Math.min(left, 50) }, connect))));
}
const startedAt = performance.now();
let due = 0;
const timer = setInterval(() => {
  const elapsedSeconds = (performance.now() - startedAt) / 1000;
  if (elapsedSeconds >= seconds) finish();
  else if (rate !== undefined) {
    for (; due < rate * elapsedSeconds; due++) {
      // The one that has waited longest.
      const connection = idle.shift();
      if (connection) send(connection);
      else unsent++;
    }
  }
}, TICK_MS);
if (rate === undefined) for (const connection of idle.splice(0)) send(connection);

function finish() {
  clearInterval(timer);
  isOver = true;
  const byStatus = [...answers].map(([status, times]) => {
    times.sort((a, b) => a - b);
    const at = (/** @type {number} */ share) => times[Math.floor(times.length * share)] ?? 0;
    return [status, { perSecond: times.length / seconds, p50Ms: at(0.5), p99Ms: at(0.99) }];
  });
  process.stdout.write(JSON.stringify({ byStatus, sent: due - unsent, unsent, broken }), () => process.exit());
}
