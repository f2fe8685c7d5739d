import http from 'node:http';
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

const TIMEOUT_MS = 30_000;
const MAX_WAITS = 100;

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {http.IncomingHttpHeaders} headers
 * @property {string} text
 * @property {number} milliseconds of the last attempt
 */

/** The few calls of the cache's API that the demo needs, over connections that stay open. */
export class CacheClient {
  /** How often the service said 429, and was obeyed. */
  waits = 0;
  #agent;
  #url;
  #apiKey;

  /** @param {string} url @param {string} apiKey @param {number} connections */
  constructor(url, apiKey, connections) {
    this.#url = new URL(url);
    this.#apiKey = apiKey;
    this.#agent = new this.#protocol.Agent({ keepAlive: true, maxSockets: connections });
  }

  get #protocol() {
    return this.#url.protocol === 'https:' ? https : http;
  }

  /**
   * @param {'GET' | 'PUT' | 'PATCH' | 'DELETE'} method
   * @param {string} key
   * @param {{ body?: string, query?: string }} [options]
   * @returns {Promise<Answer>}
   */
  async call(method, key, { body, query = '' } = {}) {
    for (let attempt = 0; ; attempt += 1) {
      const answer = await this.#request(method, `/v1/cache/${encodeURIComponent(key)}${query}`, body);
      if (answer.status !== 429 || attempt === MAX_WAITS) return answer;
      this.waits += 1;
      await sleep(Number(answer.headers['retry-after'] ?? 1) * 1000);
    }
  }

  close() {
    this.#agent.destroy();
  }

  /** @param {string} method @param {string} path @param {string | undefined} body @returns {Promise<Answer>} */
  #request(method, path, body) {
    const started = performance.now();
    /** @type {http.OutgoingHttpHeaders} */
    const headers = { 'X-API-Key': this.#apiKey };
    if (body !== undefined) {
      headers['Content-Type'] = 'application/json';
      headers['Content-Length'] = Buffer.byteLength(body);
    }
    return new Promise((resolve, reject) => {
      const request = this.#protocol.request(
        new URL(path, this.#url),
        { method, headers, agent: this.#agent, timeout: TIMEOUT_MS },
        (response) => {
          /** @type {Buffer[]} */
          const chunks = [];
          response.on('data', (chunk) => chunks.push(chunk));
          response.once('error', reject);
          response.once('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text: Buffer.concat(chunks).toString(),
              milliseconds: performance.now() - started,
            }),
          );
        },
      );
      request.once('timeout', () => request.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
      request.once('error', reject);
      request.end(body);
    });
  }
}
