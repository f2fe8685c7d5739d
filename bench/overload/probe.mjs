import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * What others meet meanwhile, who ask now and then, on connections that they have: sends one request after the other, and
 * prints how many milliseconds it took until each was answered, by status. After a refusal nobody asks again for as long as the least that is told.
 *
 * node probe.mjs '{"port", "request", "seconds"}'
 */
const { port, request, seconds } = JSON.parse(process.argv[2] ?? '{}');
const bytes = Buffer.from(request, 'latin1');
const CALLERS = 60;
const EACH_EVERY_MS = 1000;

/** @type {Map<number, number[]>} milliseconds of each answer, by status */
const answers = new Map();
const sockets = Array.from({ length: CALLERS }, () => net.connect({ port, host: '127.0.0.1', noDelay: true }));
await Promise.all(sockets.map((socket) => once(socket, 'connect')));
const endsAt = performance.now() + seconds * 1000;
for (let turn = 0; performance.now() < endsAt; turn++) {
  const socket = /** @type {net.Socket} */ (sockets[turn % CALLERS]);
  void ask(socket);
  await sleep(EACH_EVERY_MS / CALLERS);
}

/** @param {net.Socket} socket */
async function ask(socket) {
  const sentAt = performance.now();
  socket.write(bytes);
  const [first] = await once(socket, 'data');
  const status = Number(first.subarray(9, 12));
  const times = answers.get(status) ?? [];
  answers.set(status, times);
  times.push(performance.now() - sentAt);
}

process.stdout.write(JSON.stringify([...answers]), () => process.exit());
