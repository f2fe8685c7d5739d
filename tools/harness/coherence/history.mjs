/**
 * One request of a client and what came of it. Times are of one monotonic clock in one process: it starts before the
 * request is sent and ends after the answer was read, so that a checker which is late can only hide an old value, never
 * make one up.
 *
 * @typedef {object} Operation
 * @property {'get' | 'set' | 'cas' | 'patch' | 'delete' | 'increment'} kind
 * @property {string} key
 * @property {number} node that was asked, by its index
 * @property {number} id unique; a value names the operations that made it
 * @property {number} startMs
 * @property {number} endMs
 * @property {number} status of HTTP; 0: no answer
 * @property {'done' | 'absent' | 'refused' | 'unknown'} outcome `absent`: there was no entry; `unknown`: it may or may not have happened, now or a little later
 * @property {number} [version] of the entry that was read or written
 * @property {number} [base] version under which a `cas` was to happen
 * @property {boolean} [stale] the answer said of itself that it could not be checked
 * @property {string} [layer] that answered
 * @property {string} [text] the body of a read
 * @property {number} [count] what an increment came to
 *
 * @typedef {{ rule: string, explanation: string, operation: Operation }} Violation
 */

/** What was given up by then is not carried out any more. */
const UNKNOWN_UNTIL_MS = 10_000;

/** @param {Operation} operation */
export function mayChange({ kind, outcome }) {
  return kind !== 'get' && (outcome === 'done' || outcome === 'unknown');
}

/** When an operation has taken effect at the latest. @param {Operation} operation */
export function settledMs({ outcome, endMs }) {
  return outcome === 'unknown' ? endMs + UNKNOWN_UNTIL_MS : endMs;
}

/** @param {Operation[]} history @returns {Map<string, Operation[]>} in the order in which they ended */
export function byKey(history) {
  /** @type {Map<string, Operation[]>} */
  const keys = new Map();
  for (const operation of history) {
    const operations = keys.get(operation.key);
    if (operations) operations.push(operation);
    else keys.set(operation.key, [operation]);
  }
  for (const operations of keys.values()) operations.sort((one, other) => one.endMs - other.endMs);
  return keys;
}

/**
 * The value of a document, which carries its own history: the operation that set it, and those that patched it since.
 *
 * @param {string} text of a response to a read
 * @returns {{ setBy: number, patchedBy: number[] }}
 */
export function readDocument(text) {
  const { value } = /** @type {{ value: { w: number, p: Record<string, number> } }} */ (JSON.parse(text));
  return { setBy: value.w, patchedBy: Object.values(value.p) };
}

/** @param {number} id */
export function setDocument(id) {
  return { value: { w: id, p: {} } };
}

/** @param {number} id */
export function patchDocument(id) {
  return { value: { p: { [`f${id}`]: id } } };
}
