import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits until something holds, and fails with its name when it never does.
 *
 * @param {string} name
 * @param {() => boolean | Promise<boolean>} holds
 * @param {number} [timeoutMs]
 * @returns {Promise<void>}
 */
export async function eventually(name, holds, timeoutMs = 10_000) {
  const giveUpAt = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > giveUpAt) throw new Error(`never came true: ${name}`);
    await sleep(5);
  }
}
