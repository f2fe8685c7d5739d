import { type Beat, Ledger } from './ledger.js';

const LEASE_MS = 1000;

/** A ledger that listens, with a clock of the test. */
function ledger() {
  const one = new Ledger('self', LEASE_MS);
  one.startListening();
  let count = 0;
  const beat = (node: string, through: number, { open = [], never = [] }: Partial<Beat> = {}): Beat => ({
    node,
    name: node,
    count: ++count,
    through,
    open,
    never,
  });
  /** A beat of our own that was sent and came back at once, and the list of nodes that came with it. */
  const echo = (nowMs: number, nodes: string[] = []) => {
    one.register(['self', ...nodes], nowMs);
    one.beat(beat('self', 0), nowMs, nowMs);
  };
  return { one, beat, echo };
}

describe('trust in what is held', () => {
  test('begins with the first beat that comes back, and lasts a lease from when it was sent', () => {
    const { one, echo } = ledger();
    expect(one.trustedUntilMs).toBe(-Infinity);
    echo(50);
    expect(one.trustedUntilMs).toBe(50 + LEASE_MS);
  });

  test('needs a sign of life of every node that is registered', () => {
    const { one, beat, echo } = ledger();
    echo(0, ['other']);
    expect(one.trustedUntilMs).toBe(-Infinity);
    one.beat(beat('other', 0), 10);
    expect(one.trustedUntilMs).toBe(LEASE_MS);
  });

  test('counts a sign of life only as of the last own beat that had come back, as it may have been long under way', () => {
    const { one, beat, echo } = ledger();
    echo(0, ['other']);
    one.beat(beat('other', 0), 700);
    echo(800, ['other']);
    expect(one.trustedUntilMs).toBe(LEASE_MS);
    one.beat(beat('other', 0), 810);
    expect(one.trustedUntilMs).toBe(800 + LEASE_MS);
  });

  test('ends at once when nothing is heard any more, and is back without a check if nothing was missed', () => {
    const { one, beat, echo } = ledger();
    echo(0, ['other']);
    one.beat(beat('other', 0), 0);
    one.announcement('other', 1, 0);
    one.stopListening();
    expect(one.trustedUntilMs).toBe(-Infinity);
    one.startListening();
    const { epoch } = one;
    echo(100, ['other']);
    one.beat(beat('other', 1), 110);
    expect(one.trustedUntilMs).toBe(100 + LEASE_MS);
    expect(one.epoch).toBe(epoch);
  });

  test('asks for a check of everything once something was missed', () => {
    const { one, beat, echo } = ledger();
    echo(0, ['other']);
    one.beat(beat('other', 0), 0);
    const { epoch } = one;
    one.announcement('other', 2, 0);
    one.beat(beat('other', 2), 10);
    expect(one.trustedUntilMs).toBe(-Infinity);
    one.giveUpGaps(20);
    expect(one.epoch).toBe(epoch);
    one.giveUpGaps(300);
    expect(one.epoch).toBe(epoch + 1);
    expect(one.gaps).toBe(1);
    expect(one.trustedUntilMs).toBe(LEASE_MS);
  });

  test('waits for an announcement that was overtaken', () => {
    const { one, beat, echo } = ledger();
    echo(0, ['other']);
    one.beat(beat('other', 0), 0);
    one.announcement('other', 2, 0);
    one.beat(beat('other', 2), 10);
    expect(one.trustedUntilMs).toBe(-Infinity);
    one.announcement('other', 1, 0);
    expect(one.trustedUntilMs).toBe(LEASE_MS);
    expect(one.gaps).toBe(0);
  });

  test('does not miss the numbers of calls that were refused', () => {
    const { one, beat, echo } = ledger();
    echo(0, ['other']);
    one.beat(beat('other', 0), 0);
    one.announcement('other', 1, 0);
    one.announcement('other', 3, 0);
    one.beat(beat('other', 3, { never: [2] }), 10);
    expect(one.trustedUntilMs).toBe(LEASE_MS);
  });

  test('does not wait for a change that is under way, and yet misses a later one', () => {
    const { one, beat, echo } = ledger();
    echo(0, ['other']);
    one.beat(beat('other', 0), 0);
    one.beat(beat('other', 1, { open: [1] }), 10);
    expect(one.trustedUntilMs).toBe(LEASE_MS);
    // The first hangs; the second was announced, and not heard.
    one.beat(beat('other', 2, { open: [1] }), 20);
    expect(one.trustedUntilMs).toBe(-Infinity);
  });

  test('misses a change of which nobody knows whether it happened, unless it was heard', () => {
    const { one, beat, echo } = ledger();
    echo(0, ['other']);
    one.beat(beat('other', 1, { open: [1] }), 0);
    const { epoch } = one;
    one.beat(beat('other', 1), 10);
    expect(one.trustedUntilMs).toBe(-Infinity);
    one.giveUpGaps(300);
    expect(one.epoch).toBe(epoch + 1);
    one.beat(beat('other', 2, { open: [2] }), 310);
    one.announcement('other', 2, 320);
    one.beat(beat('other', 2), 330);
    expect(one.trustedUntilMs).toBe(LEASE_MS);
    expect(one.epoch).toBe(epoch + 1);
  });

  test('still waits for a change under way when it has given up another', () => {
    const { one, beat, echo } = ledger();
    echo(0, ['other']);
    one.beat(beat('other', 0), 0);
    one.beat(beat('other', 3, { open: [2] }), 10);
    one.giveUpGaps(300);
    const { epoch } = one;
    one.beat(beat('other', 3), 310);
    one.giveUpGaps(600);
    expect(one.epoch).toBe(epoch + 1);
  });
});

describe('a node', () => {
  test('that dies makes everything held to be checked: nobody knows what it announced last', () => {
    const { one, beat, echo } = ledger();
    echo(0, ['other']);
    one.beat(beat('other', 0), 0);
    const { epoch } = one;
    echo(3000);
    expect(one.epoch).toBe(epoch + 1);
    expect(one.trustedUntilMs).toBe(3000 + LEASE_MS);
  });

  test('that takes its leave does not', () => {
    const { one, beat, echo } = ledger();
    echo(0, ['other']);
    one.beat(beat('other', 0), 0);
    const { epoch } = one;
    one.goodbye('other', 0);
    echo(100);
    expect(one.epoch).toBe(epoch);
  });

  test('that takes its leave with something not heard makes everything held to be checked', () => {
    const { one, beat, echo } = ledger();
    echo(0, ['other']);
    one.beat(beat('other', 0), 0);
    const { epoch } = one;
    one.goodbye('other', 1);
    expect(one.epoch).toBe(epoch + 1);
  });

  test('that has gone far on during a long interruption is caught up with at once', () => {
    const { one, beat, echo } = ledger();
    echo(0, ['other']);
    one.beat(beat('other', 0), 0);
    one.beat(beat('other', 1e9, { open: [1e9] }), 10);
    one.giveUpGaps(300);
    one.announcement('other', 1e9, 310);
    one.beat(beat('other', 1e9), 320);
    expect(one.trustedUntilMs).toBe(LEASE_MS);
  });

  test('that is heard for the first time with announcements behind it makes everything held to be checked', () => {
    const { one, beat, echo } = ledger();
    echo(0);
    const { epoch } = one;
    one.beat(beat('new', 0), 10);
    expect(one.epoch).toBe(epoch);
    one.beat(beat('late', 7), 10);
    expect(one.epoch).toBe(epoch + 1);
  });
});
