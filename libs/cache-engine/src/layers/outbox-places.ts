import { SLOTS, slotOf } from '../redis/slot.js';
import { redisKey } from './redis-protocol.js';

/** Where the outbox of some keys is: all of it on one server. */
export interface OutboxPlace {
  /** A hash of the records by key. */
  readonly records: string;
  /** Sorted sets of the keys, by since when. */
  readonly waiting: string;
  readonly dead: string;
}

const PARTS = ['records', 'waiting', 'dead'] as const;
/** No key of a caller begins with it. */
const MARK = '\u0005';

/** Of a server alone. */
export const ONE_PLACE = named('', '', '');

let bySlot: readonly OutboxPlace[] | undefined;

/**
 * In a cluster, where what is changed in one step has to be in one slot, every slot has its own. What belongs to a slot
 * is found by trying: names with a hash tag would not be among those that this service has to itself.
 */
export function placeOf(slot: number): OutboxPlace {
  bySlot ??= placesOfSlots();
  return bySlot[slot] as OutboxPlace;
}

function placesOfSlots(): OutboxPlace[] {
  const [records, waiting, dead] = PARTS.map(suffixesOfSlots);
  return Array.from({ length: SLOTS }, (_, slot) =>
    named(records?.[slot] ?? '', waiting?.[slot] ?? '', dead?.[slot] ?? ''),
  );
}

function suffixesOfSlots(part: keyof OutboxPlace): string[] {
  const suffixes = new Array<string>(SLOTS);
  for (let number = 0, found = 0; found < SLOTS; number++) {
    const suffix = number.toString(36);
    const slot = slotOf(named(suffix, suffix, suffix)[part]);
    if (suffixes[slot] !== undefined) continue;
    suffixes[slot] = suffix;
    found++;
  }
  return suffixes;
}

function named(records: string, waiting: string, dead: string): OutboxPlace {
  const name = (part: string, suffix: string) => redisKey(`${MARK}${part}:${suffix}`);
  return { records: name('records', records), waiting: name('waiting', waiting), dead: name('dead', dead) };
}
