import { mayChange, readDocument, settledMs } from './history.mjs';

/**
 * @typedef {import('./history.mjs').Operation} Operation
 *
 * @typedef {object} Read
 * @property {Operation} operation a read that found an entry, or any operation that found none
 * @property {number} staleMs for how long it had been known when it started that what it saw was gone; 0: it was not
 * @property {boolean} raced a change of the key was under way then, or had ended within `racingMs`
 */

/**
 * How old the answers of one key were. An answer is old once anybody has read or been acknowledged something later; from
 * the end of the first such operation it is counted. Versions of a key are handed out in the order of its changes, so
 * they tell what is later. Removals have no version:
 *
 * - A removal came after every version that had been seen when it started: each of those is gone once it has ended.
 * - Finding no entry is right if a removal may have come after every version that is known to be there: one that started
 *   before the answer, and had not ended when the write of that version started. Else it counts as old from when the first
 *   version without such a removal was known.
 *
 * @param {Operation[]} operations on one key, in the order in which they ended
 * @param {number} racingMs
 * @returns {Read[]}
 */
export function measureStaleness(operations, racingMs) {
  const goneSince = outdating(operations);
  const presentSince = presence(operations);
  const changes = operations.filter(mayChange).sort((one, other) => one.startMs - other.startMs);
  const settled = runningMax(changes.map(settledMs));
  return operations
    .filter(({ kind, outcome }) => outcome === 'absent' || (kind === 'get' && outcome === 'done'))
    .map((operation) => {
      const since =
        operation.outcome === 'absent' ? presentSince(operation.endMs) : goneSince(operation.version ?? Infinity);
      const begun = countBelow(changes, ({ startMs }) => startMs <= operation.endMs);
      const raced = begun > 0 && /** @type {number} */ (settled[begun - 1]) >= operation.startMs - racingMs;
      return { operation, raced, staleMs: Math.max(0, operation.startMs - since) };
    });
}

/** Since when a version has been known to be gone; Infinity: never. @param {Operation[]} operations */
function outdating(operations) {
  /** @type {{ below: number, endMs: number }[]} */
  const marks = [];
  let newest = 0;
  /** @type {{ endMs: number, newest: number }[]} */
  const known = [];
  for (const { version, endMs } of operations) {
    if (version === undefined) continue;
    marks.push({ below: version, endMs });
    newest = Math.max(newest, version);
    known.push({ endMs, newest });
  }
  for (const { kind, outcome, startMs, endMs } of operations) {
    if (kind !== 'delete' || outcome !== 'done') continue;
    const before = countBelow(known, (one) => one.endMs <= startMs);
    if (before > 0) marks.push({ below: /** @type {{ newest: number }} */ (known[before - 1]).newest + 1, endMs });
  }
  marks.sort((one, other) => other.below - one.below);
  const since = runningMin(marks.map(({ endMs }) => endMs));
  return (/** @type {number} */ version) => since[countBelow(marks, ({ below }) => below > version) - 1] ?? Infinity;
}

/** Since when there has been an entry that no removal had taken away by `untilMs`. @param {Operation[]} operations */
function presence(operations) {
  const writes = new Map(operations.filter(mayChange).map((operation) => [operation.id, operation]));
  const started = new Map(
    [...writes.values()].flatMap(({ version, startMs }) => (version === undefined ? [] : [[version, startMs]])),
  );
  const seen = operations
    .flatMap(({ version, endMs, text }) => {
      if (version === undefined) return [];
      const startMs = started.get(version) ?? (text === undefined ? -Infinity : earliestStart(text, writes));
      return [{ startMs, endMs }];
    })
    .sort((one, other) => other.startMs - one.startMs);
  const since = runningMin(seen.map(({ endMs }) => endMs));
  const removals = operations
    .filter((operation) => operation.kind === 'delete' && mayChange(operation))
    .sort((one, other) => one.startMs - other.startMs);
  const settled = runningMax(removals.map(settledMs));
  return (/** @type {number} */ untilMs) => {
    const begun = countBelow(removals, ({ startMs }) => startMs <= untilMs);
    const removedUntilMs = settled[begun - 1] ?? -Infinity;
    return since[countBelow(seen, ({ startMs }) => startMs > removedUntilMs) - 1] ?? Infinity;
  };
}

/** Of a version whose write was not acknowledged: it is one of those named in its value. @param {string} text @param {Map<number, Operation>} writes */
function earliestStart(text, writes) {
  const { setBy, patchedBy } = readDocument(text);
  const starts = [setBy, ...patchedBy].map((id) => writes.get(id)).filter((write) => write?.outcome === 'unknown');
  return starts.length === 0 ? -Infinity : Math.min(...starts.map((write) => write?.startMs ?? -Infinity));
}

/** How many come first for which it holds; it holds for none after those. @template T @param {readonly T[]} sorted @param {(one: T) => boolean} holds */
function countBelow(sorted, holds) {
  let [from, to] = [0, sorted.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (holds(/** @type {T} */ (sorted[middle]))) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** @param {number[]} values */
function runningMin(values) {
  let least = Infinity;
  return values.map((value) => (least = Math.min(least, value)));
}

/** @param {number[]} values */
function runningMax(values) {
  let most = -Infinity;
  return values.map((value) => (most = Math.max(most, value)));
}
