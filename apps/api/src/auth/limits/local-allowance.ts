import { Allowance, type Dimension, nowMs, type Verdict } from './allowance.js';
import { goesOn, type Rule } from './rule.js';
import { openTally } from './strategies.js';
import { takeOne, type Tally, wholeFree } from './tally.js';

/** Counted in the memory of this node alone. */
export class LocalAllowance extends Allowance {
  private tally: Tally;

  constructor(dimension: Dimension, subject: string, rule: Rule) {
    super(dimension, subject, rule);
    this.tally = openTally(rule, nowMs());
  }

  take(atMs: number): Verdict {
    return takeOne(this.tally, atMs) ? 'taken' : 'refused';
  }

  ask(): Promise<boolean> {
    return Promise.resolve(takeOne(this.tally, nowMs()));
  }

  putBack(): void {
    this.tally.giveBack(1, this.tally.stamp);
  }

  get remaining(): number {
    return wholeFree(this.tally);
  }

  protected get countedRule(): Rule {
    return this.rule;
  }

  protected get windowResetMs(): number {
    return this.tally.resetMs;
  }

  protected get waitMs(): number {
    return this.tally.waitMs;
  }

  protected follow(rule: Rule, previous: Rule): void {
    if (goesOn(rule, previous)) this.tally.rule = rule;
    else this.tally = openTally(rule, nowMs());
  }
}
