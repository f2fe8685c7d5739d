import { type Attributes, isConditional, sameTags } from './attributes.js';
import { type Content, isExpired, jsonValue, type Stamp, stampOf } from './entry.js';

/** What must hold for the entry that is there (or not there) for a mutation to happen. All that is given must hold. */
export interface Condition {
  /** true: only if there is an entry; false: only if there is none. */
  readonly exists?: boolean;
  /** Only if there is an entry with one of these versions. */
  readonly versionIn?: readonly number[];
  /** Not if there is an entry with one of these versions. */
  readonly versionNotIn?: readonly number[];
  /** Only if nothing has happened to the key since this lease was given, and nobody else has got one. */
  readonly lease?: number;
  /** The entry of this version is known to be alive. Nothing is decided upon a conditional entry without it. */
  readonly checked?: number;
  /** Of a touch: an expiry that is later stays. */
  readonly onlyLater?: boolean;
}

/** Expiry of an entry: milliseconds from now, never (0), or what it was. */
export const KEEP_EXPIRY = -1;
export const NO_EXPIRY = 0;

/** A mutation that leaves a value may be held to what its namespace may take. */
interface Limited {
  /** Done only if the entries of the namespace take no more bytes afterwards, or it makes them take less. */
  readonly limitBytes?: number | undefined;
}

export interface Put extends Limited {
  readonly kind: 'put';
  readonly key: string;
  readonly content: Content;
  /** Milliseconds to live, `NO_EXPIRY` or `KEEP_EXPIRY`. */
  readonly ttlMs: number;
  readonly condition?: Condition;
  /** Beside the entry a record of the write goes to the outbox: a source is to get it. */
  readonly noted?: boolean | undefined;
}

interface Remove {
  readonly kind: 'remove';
  readonly key: string;
  readonly condition?: Condition;
}

/** Gives an entry a new expiry and leaves its value and version alone. */
interface Touch {
  readonly kind: 'touch';
  readonly key: string;
  readonly ttlMs: number;
  readonly condition?: Condition;
}

/**
 * Adds to an entry that is a JSON integer. Done only for integers that a double holds with room to spare; whatever
 * else is there comes out as `unsuitable`, untouched, and is the caller's to deal with.
 */
export interface Increment extends Limited {
  readonly kind: 'increment';
  readonly key: string;
  readonly by: number;
  /** What a missing entry starts from. */
  readonly initial: number;
  /** For an entry that is there; `KEEP_EXPIRY` leaves it. */
  readonly ttlMs: number;
  /** For an entry that is not there. */
  readonly initialTtlMs: number;
  /** Whether a new entry has its ttl from the default of the layer. */
  readonly defaultTtl: boolean;
  readonly condition?: Condition;
}

/**
 * Asks for the right to fill a key that has no entry, for so long. Whatever happens to the key ends the lease, so that
 * who fills under it cannot bring back what was overwritten or removed meanwhile (Nishtala et al., "Scaling Memcache
 * at Facebook", NSDI 2013, section 3.2.1).
 */
interface Lease {
  readonly kind: 'lease';
  readonly key: string;
  /** 0: nothing is asked for but whether somebody has it; if nobody has, that is `missing`. */
  readonly leaseMs: number;
  readonly condition?: Condition;
}

/** Gives a lease back unused. */
interface Release {
  readonly kind: 'release';
  readonly key: string;
  readonly token: number;
  readonly condition?: undefined;
}

export type Mutation = Put | Remove | Touch | Increment | Lease | Release;

/** What came of a mutation. `revision` is later than everything that happened to the key before. */
export type Outcome =
  | { readonly status: 'created' | 'updated'; readonly revision: number; readonly stamp: Stamp; readonly sum?: number }
  | { readonly status: 'touched'; readonly revision: number; readonly stamp: Stamp }
  /** `leased`: the revision is the token. `present`: there is an entry, so nothing to fill. */
  | {
      readonly status: 'removed' | 'missing' | 'refused' | 'unsuitable' | 'leased' | 'present' | 'released';
      readonly revision: number;
    }
  /** Nothing was done: there is a conditional entry, and its caller has to find out whether it is alive. */
  | { readonly status: 'unproven'; readonly revision: number; readonly version: number }
  /** Nothing was done: the namespace would take more than it may. */
  | { readonly status: 'full'; readonly revision: number; readonly usedBytes: number }
  | { readonly status: 'taken'; readonly revision: number; readonly leaseEndsMs: number };

/** Who may fill a key, and until when nobody else may. */
export interface LeaseHeld {
  readonly token: number;
  readonly endsAtMs: number;
}

/** What is known of a key where mutations are decided in this process. */
export interface Known {
  readonly stored: (Stamp & { readonly attributes?: Attributes | undefined }) | undefined;
  /** The text of a small value; undefined where it is not needed, long, or not JSON. */
  readonly text: string | undefined;
  readonly lease: LeaseHeld | undefined;
}

/** Whether a mutation that came out like this has changed what a reader of the key gets. */
function hasChanged(outcome: Outcome): boolean {
  return 'stamp' in outcome || outcome.status === 'removed';
}

/** Whether a mutation that came out like this ends a lease on the key: a removal does so also where there was nothing. */
export function endsLease(mutation: Mutation, outcome: Outcome): boolean {
  if (hasChanged(outcome) || outcome.status === 'released') return true;
  return mutation.kind === 'remove' && outcome.status === 'missing';
}

/** The content that a mutation leaves behind; undefined where it leaves that which is there. */
export function contentAfter(
  mutation: Mutation,
  outcome: Outcome,
  stored: Pick<Content, 'defaultTtl'> | undefined,
): Content | undefined {
  if (mutation.kind === 'put') return mutation.content;
  if (mutation.kind !== 'increment' || !('sum' in outcome)) return undefined;
  const kept = outcome.status === 'updated' && mutation.ttlMs === KEEP_EXPIRY;
  const defaultTtl = outcome.status === 'created' ? mutation.defaultTtl : kept && stored?.defaultTtl === true;
  return { ...jsonValue(String(outcome.sum)), defaultTtl };
}

/** So many digits at most, and a sum of two is exact in a double. */
const PLAIN_INTEGER = /^-?[0-9]{1,15}$/;

/** The number, if an `Increment` can deal with it. */
export function plainInteger(text: string): number | undefined {
  return PLAIN_INTEGER.test(text) ? Number(text) : undefined;
}

/**
 * Decides what a mutation does to what is stored, for the layers that run it in this process. The Redis layer does the
 * same in Lua; the conformance suite holds them together.
 */
export function decide(mutation: Mutation, known: Known, revision: number, nowMs: number): Outcome {
  const { stored, lease } = known;
  const current = stored && !isExpired(stored.expiresAtMs, nowMs) ? stored : undefined;
  if (current && isConditional(current.attributes) && !isKnownAlive(current, mutation)) {
    return { status: 'unproven', revision, version: current.version };
  }
  if (!holds(mutation.condition, current)) return { status: 'refused', revision };
  if (mutation.condition?.lease !== undefined && mutation.condition.lease !== lease?.token) {
    return { status: 'refused', revision };
  }
  switch (mutation.kind) {
    case 'put':
      return written(current, revision, nowMs, mutation.ttlMs);
    case 'increment': {
      if (!current)
        return { ...written(current, revision, nowMs, mutation.initialTtlMs), sum: mutation.initial + mutation.by };
      const value = known.text === undefined || current.attributes ? undefined : plainInteger(known.text);
      if (value === undefined) return { status: 'unsuitable', revision };
      return { ...written(current, revision, nowMs, mutation.ttlMs), sum: value + mutation.by };
    }
    case 'touch':
      if (!current) return { status: 'missing', revision };
      return {
        status: 'touched',
        revision,
        stamp: { ...stampOf(current), revision, expiresAtMs: touchedExpiry(mutation, current, nowMs) },
      };
    case 'remove':
      return { status: current ? 'removed' : 'missing', revision };
    case 'lease':
      if (current) return { status: 'present', revision };
      if (lease && lease.endsAtMs > nowMs) return { status: 'taken', revision, leaseEndsMs: lease.endsAtMs };
      return { status: mutation.leaseMs === 0 ? 'missing' : 'leased', revision };
    case 'release':
      return { status: lease?.token === mutation.token ? 'released' : 'missing', revision };
  }
}

/** What is about to be written has the generations of now: an entry with the same ones is alive, or replaced by its like. */
function isKnownAlive(current: NonNullable<Known['stored']>, mutation: Mutation): boolean {
  if (mutation.kind === 'release' || mutation.condition?.checked === current.version) return true;
  if (mutation.kind !== 'put' || !isConditional(mutation.content.attributes)) return false;
  return sameTags(current.attributes, mutation.content.attributes);
}

/** Whether a condition holds for an entry of this version, or for there being none. Leases are not looked at. */
export function holds(condition: Condition | undefined, current: { readonly version: number } | undefined): boolean {
  if (!condition) return true;
  const { exists, versionIn, versionNotIn } = condition;
  if (exists !== undefined && exists !== (current !== undefined)) return false;
  if (versionIn && (!current || !versionIn.includes(current.version))) return false;
  return !(versionNotIn && current && versionNotIn.includes(current.version));
}

/** What holds where both do. Leases are not looked at. */
export function bothOf(one: Condition | undefined, other: Condition): Condition {
  if (!one) return other;
  const versionIn =
    one.versionIn && other.versionIn
      ? one.versionIn.filter((version) => other.versionIn?.includes(version))
      : (one.versionIn ?? other.versionIn);
  const isContradiction = one.exists !== undefined && other.exists !== undefined && one.exists !== other.exists;
  return { ...one, ...other, ...(isContradiction ? { versionIn: [] } : versionIn && { versionIn }) };
}

function written(current: Stamp | undefined, revision: number, nowMs: number, ttlMs: number) {
  return {
    status: current ? ('updated' as const) : ('created' as const),
    revision,
    stamp: {
      version: revision,
      revision,
      createdAtMs: current?.createdAtMs ?? nowMs,
      updatedAtMs: nowMs,
      expiresAtMs: expiry(ttlMs, current, nowMs),
    },
  };
}

function touchedExpiry({ ttlMs, condition }: Touch, current: Stamp, nowMs: number): number {
  const expiresAtMs = expiry(ttlMs, current, nowMs);
  if (!condition?.onlyLater || current.expiresAtMs === 0) return condition?.onlyLater ? 0 : expiresAtMs;
  return expiresAtMs === 0 ? 0 : Math.max(expiresAtMs, current.expiresAtMs);
}

function expiry(ttlMs: number, current: Stamp | undefined, nowMs: number): number {
  if (ttlMs === KEEP_EXPIRY) return current?.expiresAtMs ?? 0;
  return ttlMs === NO_EXPIRY ? 0 : nowMs + ttlMs;
}
