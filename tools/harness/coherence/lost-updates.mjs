import { readDocument } from './history.mjs';

/** @typedef {import('./history.mjs').Operation} Operation */
/** @typedef {import('./history.mjs').Violation} Violation */

/**
 * Whether each acknowledged change of a document is in every later version of it, and nothing else is. A version is the
 * last value set before it, and all patches between.
 *
 * @param {Operation[]} operations on one key
 * @returns {Violation[]}
 */
export function checkDocuments(operations) {
  return [...checkVersions(operations), ...checkConditions(operations), ...checkOrder(operations)];
}

/** @param {Operation[]} operations @returns {Violation[]} */
function checkVersions(operations) {
  const writes = new Map(operations.filter(({ kind }) => kind !== 'get').map((operation) => [operation.id, operation]));
  const patches = operations.filter(({ kind, outcome }) => kind === 'patch' && outcome === 'done');
  /** @type {Map<number, string>} */
  const texts = new Map();
  /** @type {Map<number, number>} version in which a value was set, by the operation that did it */
  const unpatched = new Map();
  return operations.flatMap((operation) => {
    const { version, text } = operation;
    if (version === undefined || text === undefined) return [];
    const known = texts.get(version);
    if (known === text) return [];
    if (known !== undefined)
      return [{ rule: 'one version, one value', explanation: `${known} and ${text}`, operation }];
    texts.set(version, text);

    const { setBy, patchedBy } = readDocument(text);
    const setIn = writes.get(setBy)?.version;
    /** @type {Violation[]} */
    const found = [];
    if (setIn !== undefined && setIn > version) {
      found.push({ rule: 'no value before its time', explanation: `set in ${setIn}, seen in ${version}`, operation });
    }
    if (patchedBy.length === 0) {
      const other = unpatched.get(setBy);
      if (other !== undefined) {
        found.push({ rule: 'no write happens twice', explanation: `${setBy} in ${other} and ${version}`, operation });
      }
      unpatched.set(setBy, version);
    }
    for (const patch of patches) {
      const patchedIn = patch.version ?? 0;
      if (setIn === undefined && patchedIn <= version) continue;
      const expected = setIn !== undefined && setIn < patchedIn && patchedIn <= version;
      if (patchedBy.includes(patch.id) === expected) continue;
      const explanation = `the patch acknowledged in ${patchedIn} is ${expected ? 'not ' : ''}in ${version}, which was set in ${setIn}`;
      found.push({ rule: 'no lost update', explanation, operation });
    }
    return found;
  });
}

/** A write under a condition on a version is the next after it. @param {Operation[]} operations @returns {Violation[]} */
function checkConditions(operations) {
  const written = operations.filter(({ kind, outcome }) => kind !== 'get' && outcome === 'done');
  const versions = written.flatMap(({ version }) => version ?? []).sort((one, other) => one - other);
  return written.flatMap((operation) => {
    const { version = 0, base } = operation;
    if (base === undefined) return [];
    const between = versions.filter((other) => base < other && other < version);
    if (between.length === 0) return [];
    const explanation = `if ${base}, came to ${version}, after ${between.join(', ')}`;
    return [{ rule: 'one winner for each version', explanation, operation }];
  });
}

/** What is written comes after everything that was known before; no version is given twice. @param {Operation[]} operations @returns {Violation[]} */
function checkOrder(operations) {
  const writes = operations.filter(({ kind, outcome }) => kind !== 'get' && outcome === 'done');
  /** @type {Set<number>} */
  const given = new Set();
  const byStart = [...writes].sort((one, other) => one.startMs - other.startMs);
  const seen = operations.filter(({ version }) => version !== undefined);
  let [at, newest] = [0, 0];
  return byStart.flatMap((operation) => {
    const { version, startMs } = operation;
    for (let next = seen[at]; next !== undefined && next.endMs <= startMs; next = seen[++at]) {
      newest = Math.max(newest, next.version ?? 0);
    }
    if (version === undefined) return [];
    if (given.has(version)) return [{ rule: 'no version is given twice', explanation: String(version), operation }];
    given.add(version);
    if (version > newest) return [];
    return [{ rule: 'versions rise', explanation: `${version} was given after ${newest}`, operation }];
  });
}

/**
 * Whether a counter is the number of the increments: of those without an answer each may have happened or not.
 *
 * @param {Operation[]} operations on one key
 * @param {number | undefined} final undefined: there is no such entry
 * @returns {Violation[]}
 */
export function checkCounter(operations, final) {
  const increments = operations.filter(({ kind }) => kind === 'increment');
  const done = increments.filter(({ outcome }) => outcome === 'done');
  const unknown = increments.filter(({ outcome }) => outcome === 'unknown');
  const counts = new Set(done.map(({ count }) => count));
  const last = increments.at(-1);
  if (!last) return [];
  /** @type {Violation[]} */
  const found = [];
  if (counts.size < done.length) {
    const explanation = `${done.length} increments came to ${counts.size} different sums`;
    found.push({ rule: 'no lost update', explanation, operation: last });
  }
  if ((final ?? 0) < done.length || (final ?? 0) > done.length + unknown.length) {
    const explanation = `${final} after ${done.length} increments and ${unknown.length} without an answer`;
    found.push({ rule: 'no lost update', explanation, operation: last });
  }
  return found;
}
