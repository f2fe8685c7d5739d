import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { patchDocument, setDocument } from './history.mjs';
import { NodeClient } from './http-client.mjs';

/** @typedef {import('./history.mjs').Operation} Operation */
/** @typedef {import('./http-client.mjs').Answer} Answer */

/** Shares of what clients do, in percent; the rest are reads. */
const MIX = /** @type {const} */ ([
  ['set', 12],
  ['patch', 12],
  ['cas', 6],
  ['delete', 6],
  ['increment', 6],
]);
/** A node that refuses at once is not asked again at once: what it gets right is of interest, not how often it fails. */
const PAUSE_AFTER_FAILURE_MS = 20;

/**
 * Clients that read and change few keys through all nodes, and write down what they did and saw.
 */
export class Workload {
  /** @type {Operation[]} */
  history = [];
  /** @type {Promise<void>[]} */
  running = [];
  stopped = false;
  nextId = 1;

  /**
   * @param {readonly { url: string, apiKey: string }[]} nodes
   * @param {{ clients?: number, keys?: number, counters?: number }} [options]
   */
  constructor(nodes, { clients = 16, keys = 50, counters = 8 } = {}) {
    this.nodes = nodes.map((api) => new NodeClient(api));
    this.clientCount = clients;
    // What earlier runs left behind on the same stores is not part of the history.
    const run = randomBytes(4).toString('hex');
    this.documents = Array.from({ length: keys }, (_, index) => `${run}-document-${index}`);
    this.counters = Array.from({ length: counters }, (_, index) => `${run}-counter-${index}`);
  }

  start() {
    this.running = Array.from({ length: this.clientCount }, () => this.runClient());
  }

  /** A node is at another address from now on. @param {number} index @param {{ url: string, apiKey: string }} api */
  replaceNode(index, api) {
    this.nodes[index]?.close();
    this.nodes[index] = new NodeClient(api);
  }

  async stop() {
    this.stopped = true;
    await Promise.all(this.running);
  }

  close() {
    for (const node of this.nodes) node.close();
  }

  /** Reads everything through every node, so that what it shows in the end is part of the history. */
  async readAll() {
    for (const key of [...this.documents, ...this.counters]) {
      await Promise.all(this.nodes.map((_, node) => this.run('get', key, node)));
    }
  }

  /** The final values, as the first node has them. */
  async readCounters() {
    /** @type {Map<string, number | undefined>} */
    const values = new Map();
    for (const key of this.counters) {
      const { status, text } = await /** @type {NodeClient} */ (this.nodes[0]).send('GET', pathOf(key));
      if (status !== 200 && status !== 404) throw new Error(`${key} cannot be read: ${status} ${text}`);
      values.set(key, status === 200 ? Number(JSON.parse(text).value) : undefined);
    }
    return values;
  }

  async runClient() {
    /** @type {Map<string, number>} the version of each key that this client saw last */
    const seen = new Map();
    while (!this.stopped) {
      const kind = pickKind();
      const key = pick(kind === 'increment' || Math.random() < 0.03 ? this.counters : this.documents);
      const node = Math.floor(Math.random() * this.nodes.length);
      const base = seen.get(key);
      if (this.counters.includes(key)) await this.run(kind === 'increment' ? kind : 'get', key, node);
      else {
        const { version, status } = await this.run(
          kind === 'cas' && base === undefined ? 'get' : kind,
          key,
          node,
          base,
        );
        if (version !== undefined) seen.set(key, version);
        if (status === 0 || status >= 500) await sleep(PAUSE_AFTER_FAILURE_MS);
      }
    }
  }

  /**
   * @param {Operation['kind']} kind @param {string} key @param {number} node
   * @param {number} [seen] version under which a `cas` is to happen
   * @returns {Promise<Operation>}
   */
  async run(kind, key, node, seen) {
    const id = this.nextId++;
    const answer = await send(/** @type {NodeClient} */ (this.nodes[node]), kind, key, id, seen);
    const operation = readAnswer(kind, key, node, id, answer);
    if (kind === 'cas' && seen !== undefined) operation.base = seen;
    // The text of a document tells its history; that of a counter is its number.
    if (kind === 'get' && answer.status === 200 && !this.counters.includes(key)) operation.text = answer.text;
    this.history.push(operation);
    return operation;
  }
}

/** @param {NodeClient} node @param {Operation['kind']} kind @param {string} key @param {number} id @param {number} [base] */
function send(node, kind, key, id, base) {
  const path = pathOf(key);
  switch (kind) {
    case 'get':
      return node.send('GET', path);
    case 'set':
      return node.send('PUT', path, { body: setDocument(id) });
    case 'cas':
      return node.send('PUT', path, { body: setDocument(id), headers: { 'if-match': `"${base}"` } });
    case 'patch':
      return node.send('PATCH', path, { body: patchDocument(id) });
    case 'delete':
      return node.send('DELETE', path);
    case 'increment':
      return node.send('POST', `${path}/increment`, { body: { by: 1 } });
  }
}

/**
 * @param {Operation['kind']} kind @param {string} key @param {number} node @param {number} id @param {Answer} answer
 * @returns {Operation}
 */
function readAnswer(kind, key, node, id, { status, headers, text, startMs, endMs }) {
  /** @type {Operation} */
  const operation = { kind, key, node, id, startMs, endMs, status, outcome: outcomeOf(kind, status) };
  const version = /^"(\d+)"$/.exec(String(headers['etag']))?.[1];
  if (operation.outcome === 'done' && version !== undefined) operation.version = Number(version);
  if (kind === 'get') {
    operation.layer = status === 404 ? 'none' : status === 200 ? String(headers['x-cache-layer']) : 'failed';
    if (headers['x-cache-status'] === 'STALE') operation.stale = true;
  }
  if (kind === 'increment' && operation.outcome === 'done') operation.count = Number(JSON.parse(text).value);
  return operation;
}

/** @param {Operation['kind']} kind @param {number} status @returns {Operation['outcome']} */
function outcomeOf(kind, status) {
  if (status >= 200 && status < 300) return 'done';
  if (status === 404 && kind !== 'cas') return 'absent';
  // A conflict, a precondition that does not hold, a limit: nothing has happened.
  return status >= 400 && status < 500 ? 'refused' : 'unknown';
}

function pickKind() {
  let left = Math.random() * 100;
  for (const [kind, share] of MIX) {
    left -= share;
    if (left < 0) return kind;
  }
  return 'get';
}

/** @template T @param {readonly T[]} list @returns {T} */
function pick(list) {
  return /** @type {T} */ (list[Math.floor(Math.random() * list.length)]);
}

/** @param {string} key */
function pathOf(key) {
  return `/v1/cache/${key}`;
}
