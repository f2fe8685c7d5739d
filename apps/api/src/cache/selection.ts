import { promisify } from 'node:util';
import { type Glob, type Head, MalformedGlob, parseGlob } from '@cache-system/cache-engine';
import { InvalidRequest } from '../platform/http/api-error.js';
import type { KeySpace } from './cache-key.js';

const TURN_MS = 10;
const nextTurn = promisify(setImmediate);

/** What a caller means by a pattern, a prefix or a tag, all of which must fit. */
export interface Wanted {
  readonly pattern?: string | undefined;
  readonly prefix?: string | undefined;
  readonly tag?: string | undefined;
}

/** Some of the entries that a caller may touch. */
export interface Selection {
  /** Whole keys begin with one of these, none of which begins with another. */
  readonly prefixes: readonly string[];
  matches(head: Pick<Head, 'key' | 'attributes'>): boolean;
  /** The key as its caller names it. */
  nameOf(head: Pick<Head, 'key'>): string;
}

/** @throws InvalidRequest for a malformed pattern */
export function select({ namespace, allowedPrefixes }: KeySpace, { pattern, prefix = '', tag }: Wanted): Selection {
  const glob = pattern === undefined ? undefined : readGlob(pattern);
  const wanted = longer(prefix, glob?.literalPrefix ?? '');
  const start = namespace.length + 1;
  const nameOf = ({ key }: Pick<Head, 'key'>) => key.slice(start);
  const names = wanted === undefined ? [] : within(allowedPrefixes, wanted);
  return {
    prefixes: names.map((name) => `${namespace}:${name}`),
    nameOf,
    matches: (head) =>
      (glob === undefined || glob.matches(nameOf(head))) &&
      (tag === undefined || (head.attributes?.tags?.some((stamp) => stamp.tag === tag) ?? false)),
  };
}

/** Those that fit. Gives way to others in between: a pattern of 500 characters takes its time. */
export async function matching(selection: Selection, heads: readonly Head[]): Promise<Head[]> {
  const found: Head[] = [];
  await nextTurn();
  let turnStartedAtMs = performance.now();
  for (const head of heads) {
    if (selection.matches(head)) found.push(head);
    if (performance.now() - turnStartedAtMs < TURN_MS) continue;
    await nextTurn();
    turnStartedAtMs = performance.now();
  }
  return found;
}

function readGlob(pattern: string): Glob {
  try {
    return parseGlob(pattern);
  } catch (cause) {
    if (!(cause instanceof MalformedGlob)) throw cause;
    throw new InvalidRequest([{ path: 'pattern', reason: cause.message }], { cause });
  }
}

/** Of two prefixes that both must fit the longer one; undefined when nothing fits both. */
function longer(one: string, other: string): string | undefined {
  if (one.startsWith(other)) return one;
  return other.startsWith(one) ? other : undefined;
}

/** What is left of a prefix for a caller whose keys must begin in certain ways. */
function within(allowedPrefixes: readonly string[], wanted: string): string[] {
  if (allowedPrefixes.length === 0) return [wanted];
  const fitting = allowedPrefixes.map((allowed) => longer(allowed, wanted)).filter((each) => each !== undefined);
  const distinct = [...new Set(fitting)];
  return distinct.filter((each) => !distinct.some((other) => other !== each && each.startsWith(other)));
}
