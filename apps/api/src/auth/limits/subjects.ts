import type { Allowance } from './allowance.js';

/** Who was not seen while so many others were is forgotten; there may be twice as many. */
const MAX_RECENT = 10_000;

/**
 * The allowances of one dimension, of those subjects that were seen last. There are two generations, and the older one goes
 * as a whole: the memory is bounded, whoever comes, and nothing is ever searched through.
 */
export class Subjects {
  private recent = new Map<string, Allowance>();
  private older = new Map<string, Allowance>();

  find(subject: string): Allowance | undefined {
    const found = this.recent.get(subject);
    if (found) return found;
    const known = this.older.get(subject);
    if (known) this.add(subject, known);
    return known;
  }

  add(subject: string, allowance: Allowance): void {
    if (this.recent.size >= MAX_RECENT) {
      this.older = this.recent;
      this.recent = new Map();
    }
    this.recent.set(subject, allowance);
  }

  /** Has the rule of each made anew when it is next found. */
  reconsider(): void {
    for (const generation of [this.recent, this.older]) {
      for (const allowance of generation.values()) allowance.origin = undefined;
    }
  }
}
