import { Agent, request } from 'node:http';

/** For so long an answer is waited for; the service promises one sooner. */
const TIMEOUT_MS = 5000;

/**
 * @typedef {object} Answer
 * @property {number} status 0: there was none
 * @property {Readonly<Record<string, string | string[] | undefined>>} headers
 * @property {string} text
 * @property {number} startMs
 * @property {number} endMs
 */

/** Speaks with one node for all clients, over as many connections as they need. */
export class NodeClient {
  agent = new Agent({ keepAlive: true });

  /** @param {{ url: string, apiKey: string }} api */
  constructor(api) {
    this.api = api;
  }

  /**
   * @param {string} method @param {string} path
   * @param {{ body?: unknown, headers?: Record<string, string> }} [options]
   * @returns {Promise<Answer>} also when there is no answer
   */
  send(method, path, { body, headers = {} } = {}) {
    const bytes = body === undefined ? undefined : JSON.stringify(body);
    const startMs = performance.now();
    return new Promise((resolve) => {
      const end = (/** @type {number} */ status, /** @type {Answer['headers']} */ received = {}, text = '') =>
        resolve({ status, headers: received, text, startMs, endMs: performance.now() });
      const call = request(`${this.api.url}${path}`, {
        agent: this.agent,
        method,
        timeout: TIMEOUT_MS,
        headers: {
          'x-api-key': this.api.apiKey,
          ...(bytes !== undefined && {
            'content-type': 'application/json',
            'content-length': String(Buffer.byteLength(bytes)),
          }),
          ...headers,
        },
      });
      call.on('timeout', () => call.destroy());
      call.on('error', () => end(0));
      call.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
        response.on('error', () => end(0));
        response.on('end', () => end(response.statusCode ?? 0, response.headers, text));
      });
      call.end(bytes);
    });
  }

  close() {
    this.agent.destroy();
  }
}
