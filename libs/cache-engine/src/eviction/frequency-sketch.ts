const MIN_SETS = 16;
/** Places of which a key may take any: 32 bytes, so that looking for it touches one line of the processor's cache. */
const WAYS = 8;
/** A quarter as many places were enough for the entries alone, but what left them is far more. */
const PLACES_PER_ENTRY = 4;
const COUNT_BITS = 4;
export const MAX_COUNT = 15;
/** After so many halvings nothing is left of a count. */
const MAX_AGE = 4;
const AGE_MASK = 0xff;
/** The upper bits of a hash tell a key from those it shares a set with; the lower ones choose the set. */
const TAG_SHIFT = 12;
const TAG_MASK = -1 << TAG_SHIFT;

/**
 * How often keys were used of late, without keeping the keys: of each there is a fingerprint, a count, and the age at
 * which the count was right. Where there is no room, what was used least is forgotten. Next to the counters that several
 * keys share (count-min, as in Einziger, Friedman and Manes, "TinyLFU", ACM ToS 2017) it takes as much memory and one
 * step instead of four, nobody is credited with the uses of others but by a collision of hashes, and aging is a number
 * that goes up, where counters would have to be halved one by one.
 */
export class FrequencySketch {
  private places = new Int32Array(MIN_SETS * WAYS);
  private setMask = MIN_SETS - 1;
  private now = 0;

  /** Makes room for the counts of what so many entries leave behind. What was counted stays. */
  reserve(entries: number): void {
    while (this.places.length < entries * PLACES_PER_ENTRY) {
      // A set is chosen by the low bits of the hash: both halves of the doubled table hold what either may ask for.
      const wider = new Int32Array(this.places.length * 2);
      wider.set(this.places);
      wider.set(this.places, this.places.length);
      this.places = wider;
      this.setMask = this.setMask * 2 + 1;
    }
  }

  frequency(hash: number): number {
    const index = this.placeOf(hash);
    return index < 0 ? 0 : this.countOf(this.places[index] as number);
  }

  /** Raises what is remembered of a key to `count`. */
  raise(hash: number, count: number): void {
    let index = this.placeOf(hash);
    if (index < 0) index = this.leastOf(hash);
    if (this.countOf(this.places[index] as number) <= count) {
      this.places[index] = (hash & TAG_MASK) | (this.now << COUNT_BITS) | count;
    }
  }

  /** Where the key is; negative where it is not. */
  private placeOf(hash: number): number {
    const { places } = this;
    const first = (hash & this.setMask) * WAYS;
    for (let index = first; index < first + WAYS; index++) {
      if ((((places[index] as number) ^ hash) & TAG_MASK) === 0) return index;
    }
    return -1;
  }

  /** Of the places that the key may take, the one whose count is the lowest. */
  private leastOf(hash: number): number {
    const first = (hash & this.setMask) * WAYS;
    let chosen = first;
    let least = MAX_COUNT + 1;
    for (let index = first; index < first + WAYS && least > 0; index++) {
      const count = this.countOf(this.places[index] as number);
      if (count < least) {
        least = count;
        chosen = index;
      }
    }
    return chosen;
  }

  /** Halves all counts. */
  age(): void {
    this.now = (this.now + 1) & AGE_MASK;
  }

  private countOf(place: number): number {
    return (place & MAX_COUNT) >> Math.min((this.now - (place >> COUNT_BITS)) & AGE_MASK, MAX_AGE);
  }
}

/**
 * A 32-bit hash of a key: four characters a step, mixed and finished as in MurmurHash3.
 * @param seed keeps outsiders from choosing keys that collide
 */
export function hashKey(key: string, seed: number): number {
  const { length } = key;
  let hash = seed ^ length;
  let index = 0;
  for (; index + 4 <= length; index += 4) {
    const lower = key.charCodeAt(index) ^ (key.charCodeAt(index + 1) << 8);
    const upper = key.charCodeAt(index + 2) ^ (key.charCodeAt(index + 3) << 8);
    hash = Math.imul(hash ^ lower ^ (upper << 16), 0xcc9e2d51);
    hash ^= hash >>> 15;
  }
  for (; index < length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
