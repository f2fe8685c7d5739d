import { FrequencySketch, hashKey, MAX_COUNT } from './frequency-sketch.js';
import { HillClimber } from './hill-climber.js';
import type { Evictable, EvictionPolicy } from './policy.js';
import { UseQueue } from './use-queue.js';

const WINDOW = 0;
const PROBATION = 1;
const PROTECTED = 2;

const INITIAL_WINDOW = 0.01;
const PROTECTED_OF_MAIN = 0.8;
/** So many uses for each entry, and all counts are halved. */
const AGING_FACTOR = 8;
const AGE_STEP = MAX_COUNT + 1;
/** After so many halvings nothing is left of a count. */
const MAX_AGE = 4;
/** A few small entries do not make a large sketch. */
const MAX_GROWTH = 16;
/**
 * W-TinyLFU: new entries pass a window kept in the order of use; what leaves it takes the place of the oldest entry of
 * the main part only if it was used more often of late. The main part is a segmented LRU. How large the window is, the
 * hill climber finds out (Einziger, Friedman and Manes, "TinyLFU", ACM ToS 2017; Einziger et al., "Adaptive Software
 * Cache Management", Middleware 2018). All parts are measured in bytes. An entry carries its own count; the sketch
 * remembers those of what is gone, so that a hit touches nothing but the entry.
 */
export class TinyLfuPolicy implements EvictionPolicy {
  private readonly window = new UseQueue(WINDOW);
  private readonly probation = new UseQueue(PROBATION);
  private readonly main = new UseQueue(PROTECTED);
  private readonly sketch = new FrequencySketch();
  private readonly climber = new HillClimber(INITIAL_WINDOW);
  private readonly seed = (Math.random() * 2 ** 32) | 0;
  private limitBytes = 0;
  private windowBytes = 0;
  private protectedBytes = 0;
  /** How many entries there are when the cache is full, as far as one can tell. */
  private expected = 64;
  private recountAt = 1;
  private full = false;
  private age = 0;
  private usesOfAge = 0;
  private usesPerAge = AGING_FACTOR * this.expected;
  private hits = 0;
  private misses = 0;
  private sample = HillClimber.sampleOf(this.expected);

  limit(bytes: number): void {
    this.limitBytes = bytes;
    this.divide(this.climber.window);
  }

  arrive(incoming: Evictable): void {
    incoming.hash = hashKey(incoming.key, this.seed);
    incoming.uses = this.pack(Math.min(MAX_COUNT, this.sketch.frequency(incoming.hash) + 1));
    this.countUse();
    if (this.full && ++this.misses + this.hits >= this.sample) this.endSample();
  }

  victim(incomingBytes: number): Evictable | undefined {
    this.full = true;
    const candidate = this.window.bytes + incomingBytes > this.windowBytes ? this.window.oldest : undefined;
    const resident = this.probation.oldest ?? this.main.oldest;
    if (!candidate || !resident) return this.release(candidate ?? resident ?? this.window.oldest);
    return this.release(this.frequency(candidate) > this.frequency(resident) ? resident : candidate);
  }

  add(node: Evictable): void {
    if (node.hash === 0) this.introduce(node);
    this.window.push(node);
    this.spill();
    if (this.count >= this.recountAt) this.recount();
  }

  use(node: Evictable): void {
    const count = this.frequency(node);
    if (count < MAX_COUNT) {
      node.uses = this.pack(count + 1);
      this.countUse();
    }
    if (node.place === WINDOW) this.window.touch(node);
    else if (node.place === PROTECTED) this.main.touch(node);
    else {
      this.probation.remove(node);
      this.main.push(node);
      this.demote();
    }
    if (this.full && ++this.hits + this.misses >= this.sample) this.endSample();
  }

  resize(node: Evictable, costBytes: number): void {
    this.queueOf(node).resize(node, costBytes);
  }

  remove(node: Evictable): void {
    this.queueOf(node).remove(node);
    this.sketch.raise(node.hash, this.frequency(node));
  }

  private get count(): number {
    return this.window.count + this.probation.count + this.main.count;
  }

  private release(node: Evictable | undefined): Evictable | undefined {
    if (node) this.remove(node);
    return node;
  }

  private queueOf(node: Evictable): UseQueue {
    return node.place === WINDOW ? this.window : node.place === PROTECTED ? this.main : this.probation;
  }

  /** The newest entry stays in the window, be it as large as it may: it must be readable after it was written. */
  private spill(): void {
    while (this.window.bytes > this.windowBytes && this.window.count > 1) {
      const node = this.window.shift();
      if (node) this.probation.push(node);
    }
  }

  private demote(): void {
    while (this.main.bytes > this.protectedBytes && this.main.count > 1) {
      const node = this.main.shift();
      if (node) this.probation.push(node);
    }
  }

  private endSample(): void {
    const ratio = this.hits / (this.hits + this.misses);
    this.hits = this.misses = 0;
    if (this.climber.climb(ratio)) this.divide(this.climber.window);
  }

  private recount(): void {
    const { count } = this;
    const bytes = this.window.bytes + this.probation.bytes + this.main.bytes;
    this.expected = Math.max(count, Math.round((this.limitBytes / bytes) * count));
    this.usesPerAge = AGING_FACTOR * this.expected;
    this.sample = HillClimber.sampleOf(this.expected);
    this.recountAt = this.full ? Math.ceil(count * 1.05) : count * 2;
    this.sketch.reserve(Math.min(this.expected, count * MAX_GROWTH));
  }

  /** An entry that another policy has taken in. */
  private introduce(node: Evictable): void {
    node.hash = hashKey(node.key, this.seed);
    node.uses = this.pack(1);
  }

  /** The count of an entry, with the age at which it was right. */
  private pack(count: number): number {
    return this.age * AGE_STEP + count;
  }

  private frequency({ uses }: Evictable): number {
    return (uses & MAX_COUNT) >> Math.min(this.age - (uses >> 4), MAX_AGE);
  }

  private countUse(): void {
    if (++this.usesOfAge >= this.usesPerAge) this.endAge();
  }

  private endAge(): void {
    this.usesOfAge >>>= 1;
    this.age++;
    this.sketch.age();
  }

  private divide(window: number): void {
    this.windowBytes = Math.floor(this.limitBytes * window);
    this.protectedBytes = Math.floor((this.limitBytes - this.windowBytes) * PROTECTED_OF_MAIN);
    this.demote();
    this.spill();
    // A window that has grown takes over what the main part would have lost next.
    for (let node = this.probation.oldest; node && this.mainIsTooLarge(); node = this.probation.oldest) {
      if (this.window.bytes + node.costBytes > this.windowBytes) break;
      this.probation.remove(node);
      this.window.push(node);
    }
  }

  private mainIsTooLarge(): boolean {
    return this.probation.bytes + this.main.bytes > this.limitBytes - this.windowBytes;
  }
}
