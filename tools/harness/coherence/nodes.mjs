import { randomBytes } from 'node:crypto';
import { startApi } from '../api-process.mjs';

/** Keeps the limiter on and out of the way. */
const LIMITS = {
  RATE_LIMITS__TIERS__ENTERPRISE__REQUESTS_PER_HOUR: '6000000000',
  RATE_LIMITS__TIERS__ENTERPRISE__BURST_SIZE: '10000000',
};

/** @typedef {import('../api-process.mjs').ApiProcess} ApiProcess */

/**
 * API processes on the same stores, which take the same credentials.
 */
export class ApiNodes {
  /** @type {ApiProcess[]} */
  processes = [];

  /** @param {(index: number) => Record<string, string>} envOf what is peculiar to each */
  constructor(envOf) {
    this.envOf = envOf;
    this.shared = {
      ...LIMITS,
      LOG_LEVEL: 'warn',
      BOOTSTRAP_API_KEY: `test-${randomBytes(24).toString('base64url')}`,
      ADMIN_PASSWORD: randomBytes(18).toString('base64url'),
      JWT_SECRET: randomBytes(32).toString('base64url'),
    };
  }

  /** @param {number} count */
  async start(count) {
    // The first one makes the tables and the credentials.
    this.processes.push(await this.startOne(0));
    const others = Array.from({ length: count - 1 }, (_, index) => this.startOne(index + 1));
    this.processes.push(...(await Promise.all(others)));
  }

  /** @param {number} index @returns {Promise<ApiProcess>} */
  async restart(index) {
    const started = await this.startOne(index);
    this.processes[index] = started;
    return started;
  }

  async stop() {
    await Promise.all(this.processes.map((api) => api.stop()));
  }

  /** @param {number} index */
  startOne(index) {
    return startApi({ env: { ...this.shared, NODE_NAME: `node-${index}`, ...this.envOf(index) } });
  }
}
