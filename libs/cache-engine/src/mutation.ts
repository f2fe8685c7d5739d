import { type Content, isExpired, type Stamp } from './entry.js';

/** What must hold for the entry that is there (or not there) for a mutation to happen. All that is given must hold. */
export interface Condition {
  /** true: only if there is an entry; false: only if there is none. */
  readonly exists?: boolean;
  /** Only if there is an entry with one of these versions. */
  readonly versionIn?: readonly number[];
  /** Not if there is an entry with one of these versions. */
  readonly versionNotIn?: readonly number[];
}

/** Expiry of an entry: milliseconds from now, never (0), or what it was. */
export const KEEP_EXPIRY = -1;
export const NO_EXPIRY = 0;

export interface Put {
  readonly kind: 'put';
  readonly key: string;
  readonly content: Content;
  /** Milliseconds to live, `NO_EXPIRY` or `KEEP_EXPIRY`. */
  readonly ttlMs: number;
  readonly condition?: Condition;
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

export type Mutation = Put | Remove | Touch;

/** What came of a mutation. `revision` is later than everything that happened to the key before. */
export type Outcome =
  | { readonly status: 'created' | 'updated' | 'touched'; readonly revision: number; readonly stamp: Stamp }
  | { readonly status: 'removed' | 'missing' | 'refused'; readonly revision: number };

/**
 * Decides what a mutation does to what is stored, for the layers that run it in this process. The Redis layer does the
 * same in Lua; the conformance suite holds them together.
 */
export function decide(mutation: Mutation, stored: Stamp | undefined, revision: number, nowMs: number): Outcome {
  const current = stored && !isExpired(stored.expiresAtMs, nowMs) ? stored : undefined;
  if (!holds(mutation.condition, current)) return { status: 'refused', revision };
  switch (mutation.kind) {
    case 'put':
      return {
        status: current ? 'updated' : 'created',
        revision,
        stamp: {
          version: revision,
          revision,
          createdAtMs: current?.createdAtMs ?? nowMs,
          updatedAtMs: nowMs,
          expiresAtMs: expiry(mutation.ttlMs, current, nowMs),
        },
      };
    case 'touch':
      if (!current) return { status: 'missing', revision };
      return {
        status: 'touched',
        revision,
        stamp: { ...current, revision, expiresAtMs: expiry(mutation.ttlMs, current, nowMs) },
      };
    case 'remove':
      return { status: current ? 'removed' : 'missing', revision };
  }
}

/** Whether a condition holds for an entry of this version, or for there being none. */
export function holds(condition: Condition | undefined, current: { readonly version: number } | undefined): boolean {
  if (!condition) return true;
  const { exists, versionIn, versionNotIn } = condition;
  if (exists !== undefined && exists !== (current !== undefined)) return false;
  if (versionIn && (!current || !versionIn.includes(current.version))) return false;
  return !(versionNotIn && current && versionNotIn.includes(current.version));
}

function expiry(ttlMs: number, current: Stamp | undefined, nowMs: number): number {
  if (ttlMs === KEEP_EXPIRY) return current?.expiresAtMs ?? 0;
  return ttlMs === NO_EXPIRY ? 0 : nowMs + ttlMs;
}
