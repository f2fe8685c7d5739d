import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../eventually.mjs';
import { redisCommand } from '../redis-command.mjs';

const CUT_EVERY_MS = 20;

/**
 * What a fault may be done to.
 *
 * @typedef {object} Stage
 * @property {import('./nodes.mjs').ApiNodes} nodes
 * @property {import('./workload.mjs').Workload} workload
 * @property {number[]} redisPorts every Redis that carries the backplane
 */

/**
 * Breaks what the nodes hear each other by, again and again, while commands go on.
 *
 * @param {Stage} stage @param {number} ms
 */
export async function cutBackplane({ redisPorts }, ms) {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs) {
    await Promise.all(redisPorts.map((port) => redisCommand(port, ['CLIENT', 'KILL', 'TYPE', 'pubsub'])));
    await sleep(CUT_EVERY_MS);
  }
}

/**
 * Forbids to listen: unlike a cut, no announcement at all gets through between two attempts.
 *
 * @param {Stage} stage @param {number} ms
 */
export async function forbidListening({ redisPorts }, ms) {
  const forEach = (/** @type {string[]} */ ...command) =>
    Promise.all(redisPorts.map((port) => redisCommand(port, command)));
  await forEach('ACL', 'SETUSER', 'default', '-subscribe');
  await forEach('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await sleep(ms);
  await forEach('ACL', 'SETUSER', 'default', '+subscribe');
}

/** @param {{ freeze(): void, thaw(): void }} server @param {number} ms */
export async function freeze(server, ms) {
  server.freeze();
  await sleep(ms);
  server.thaw();
}

/**
 * Kills a node with all that it was about to do, and starts another in its place.
 *
 * @param {Stage} stage @param {number} index
 */
export async function killNode({ nodes, workload }, index) {
  await nodes.processes[index]?.kill9();
  workload.replaceNode(index, await nodes.restart(index));
}

/**
 * Stops a node from running, as a hypervisor or a full swap does.
 *
 * @param {Stage} stage @param {number} index @param {number} ms
 */
export async function freezeNode({ nodes }, index, ms) {
  const server = nodes.processes[index]?.process;
  server?.kill('SIGSTOP');
  await sleep(ms);
  server?.kill('SIGCONT');
}

/**
 * Ends a run: everything is read through every node once more, later than the bound after the last change.
 *
 * @param {import('./workload.mjs').Workload} workload @param {number} boundMs
 */
export async function settle(workload, boundMs) {
  await workload.stop();
  const stoppedMs = performance.now();
  await eventually('the bound has passed', () => performance.now() > stoppedMs + boundMs);
  await workload.readAll();
}
