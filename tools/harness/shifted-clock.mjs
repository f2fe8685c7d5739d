import { fileURLToPath } from 'node:url';

/**
 * To be imported into a process before its own modules: its clock is ahead by so many milliseconds of CLOCK_AHEAD_MS, as that
 * of a machine which nobody keeps in step. Monotonic time is as it was.
 */
const aheadMs = Number(process.env['CLOCK_AHEAD_MS'] ?? 0);
const TrueDate = Date;

class ShiftedDate extends TrueDate {
  /** @param {any[]} given */
  constructor(...given) {
    // @ts-expect-error A tuple for each of the constructor's forms would say no more.
    super(...(given.length === 0 ? [ShiftedDate.now()] : given));
  }

  /** @override */
  static now() {
    return TrueDate.now() + aheadMs;
  }
}

/** @param {number} milliseconds @returns {Record<string, string>} environment of a process whose clock is ahead by so much */
export function clockAhead(milliseconds) {
  return { NODE_OPTIONS: `--import ${fileURLToPath(import.meta.url)}`, CLOCK_AHEAD_MS: String(milliseconds) };
}

if (aheadMs !== 0) {
  globalThis.Date = /** @type {DateConstructor} */ (ShiftedDate);
  Object.defineProperty(performance, 'timeOrigin', { value: performance.timeOrigin + aheadMs });
}
