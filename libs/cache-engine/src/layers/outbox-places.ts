import { SLOTS, slotOf } from '../redis/slot.js';
import { redisKey } from './redis-protocol.js';

/** Where the outbox of some keys is: all of it on one server. */
export interface OutboxPlace {
  /** A hash of the records by key. */
  readonly records: string;
  /** Sorted sets of the keys, by since when. */
  readonly waiting: string;
  readonly dead: string;
  /** A sorted set of the waiting keys, by when they are to be tried by whoever can. */
  readonly due: string;
}

const PARTS = ['records', 'waiting', 'dead', 'due'] as const;
/** No key of a caller begins with it. */
const MARK = '\u0005';

/** Of a server alone. */
export const ONE_PLACE = named(() => '');

let bySlot: readonly OutboxPlace[] | undefined;

/**
 * In a cluster, where what is changed in one step has to be in one slot, every slot has its own. What belongs to a slot
 * is found by trying: names with a hash tag would not be among those that this service has to itself.
 */
export function placeOf(slot: number): OutboxPlace {
  bySlot ??= placesOfSlots();
  return bySlot[slot] as OutboxPlace;
}

/** In the order in which scripts take them. */
export function namesOf({ records, waiting, dead, due }: OutboxPlace): string[] {
  return [records, waiting, dead, due];
}

function placesOfSlots(): OutboxPlace[] {
  const suffixes = new Map(PARTS.map((part) => [part, suffixesOfSlots(part)]));
  return Array.from({ length: SLOTS }, (_, slot) => named((part) => suffixes.get(part)?.[slot] ?? ''));
}

function suffixesOfSlots(part: keyof OutboxPlace): string[] {
  const suffixes = new Array<string>(SLOTS);
  for (let number = 0, found = 0; found < SLOTS; number++) {
    const suffix = number.toString(36);
    const slot = slotOf(named(() => suffix)[part]);
    if (suffixes[slot] !== undefined) continue;
    suffixes[slot] = suffix;
    found++;
  }
  return suffixes;
}

function named(suffixOf: (part: keyof OutboxPlace) => string): OutboxPlace {
  const name = (part: keyof OutboxPlace) => redisKey(`${MARK}${part}:${suffixOf(part)}`);
  return { records: name('records'), waiting: name('waiting'), dead: name('dead'), due: name('due') };
}
