import type { TagStamp } from './attributes.js';
import { type Entry, jsonValue } from './entry.js';
import { ConditionFailed } from './errors.js';
import { ownKey } from './l1/key-text.js';
import { KEEP_EXPIRY, NO_EXPIRY, type Put } from './mutation.js';
import type { ReadTrace } from './read-trace.js';

/** No key of a caller has it. */
const MARK = '\u0001';
const NOTHING = { ...jsonValue('null'), defaultTtl: false };
const DAY_MS = 86_400_000;
/** A tag lives longer than what carries it, by so much that it need not be touched with each entry. */
const OUTLIVES_BY_FACTOR = 2;
const MAX_ATTEMPTS = 10;

/** The cache, as far as tags are kept in it. */
interface TagEntries {
  /** The version of what L1 has, if that can be relied on now. */
  peekVersion(key: string): number | undefined;
  /** From the layers below; undefined where there is none. */
  loadVersion(key: string): Promise<number | undefined>;
  /** As the next mutation will find it. */
  fresh(key: string): Promise<Entry | undefined>;
  put(mutation: Put): Promise<{ readonly version: number }>;
  /** Gives an entry a later expiry, or leaves it that which it has. */
  prolong(key: string, ttlMs: number): Promise<unknown>;
}

/** The key under which a tag is kept, in the namespace of an entry. */
export function tagKey(key: string, tag: string): string {
  return `${key.slice(0, key.indexOf(':') + 1)}${MARK}${tag}`;
}

/** The tag that is kept under a key, if it is one of those. */
export function tagOf(key: string): string | undefined {
  const start = key.indexOf(':') + 1;
  return key[start] === MARK ? key.slice(start + MARK.length) : undefined;
}

/** A key beside another one, for what concerns that and is no entry. @param mark begins with a control character */
export function reservedKey(key: string, mark: string): string {
  const start = key.indexOf(':') + 1;
  return `${key.slice(0, start)}${mark}${key.slice(start)}`;
}

/** Whether a key is one of those that are kept for the cache itself: no key of a caller has control characters. */
export function isReserved(key: string): boolean {
  return key.charCodeAt(key.indexOf(':') + 1) < 0x20;
}

/**
 * Tags by generation: a tag is an entry of its own, whose version is its generation. Whoever writes an entry notes the
 * generations of its tags; whoever reads it compares them with those of now. So to invalidate a tag is to write one
 * small entry, however many carry it, and all that holds for entries holds for tags: they are in L1, announced, fenced
 * and not trusted without the backplane. A tag that is lost takes its entries with it and brings none back: it gets a
 * new generation when it is used again.
 */
export class Tags {
  constructor(private readonly entries: TagEntries) {}

  /** Whether an entry is alive, as far as that can be told without waiting. */
  areKnownCurrent(key: string, tags: readonly TagStamp[]): boolean {
    for (const { tag, generation } of tags) {
      if (this.entries.peekVersion(tagKey(key, tag)) !== generation) return false;
    }
    return true;
  }

  /** @param fresh as the next mutation would find it @throws LayerTimeout, LayerUnavailable */
  async areCurrent(key: string, tags: readonly TagStamp[], fresh: boolean, trace?: ReadTrace): Promise<boolean> {
    const versions = await Promise.all(
      tags.map(async ({ tag, generation }) => {
        const name = tagKey(key, tag);
        const known = fresh ? undefined : (this.entries.peekVersion(name) ?? (await this.entries.loadVersion(name)));
        // What this node knows may be older than the entry: nobody is declared dead by it.
        return known === generation ? known : (await this.entries.fresh(name))?.version;
      }),
    );
    trace?.foundTags(tags, versions);
    return tags.every(({ generation }, index) => generation === versions[index]);
  }

  /**
   * The generations of now, for an entry about to be written. A tag that is not there is made.
   * @param ttlMs how long the entry is to live, `NO_EXPIRY` for ever
   * @param limitBytes that the namespace may take: it is not to grow beyond by tags of what is going to be refused
   * @throws LayerTimeout, LayerUnavailable, StorageFull
   */
  stamps(key: string, tags: readonly string[], ttlMs: number, limitBytes: number | undefined): Promise<TagStamp[]> {
    return Promise.all(tags.map((tag) => this.stamp(key, tag, ttlMs, limitBytes)));
  }

  /** Sees to it that tags live as long as an entry that carries them. */
  async outlive(key: string, tags: readonly TagStamp[], ttlMs: number): Promise<void> {
    await Promise.all(
      tags.map(async ({ tag }) => {
        const name = tagKey(key, tag);
        const entry = await this.entries.fresh(name);
        if (entry && endsBefore(entry, ttlMs)) await this.entries.prolong(name, tagTtlMs(ttlMs));
      }),
    );
  }

  /**
   * Makes all entries with a tag as good as gone. Takes the same time however many there are.
   * @param namespaceKey any key of the namespace
   * @returns the generation that has ended; undefined when nothing carries the tag
   * @throws LayerTimeout, LayerUnavailable, StorageFull
   */
  async invalidate(namespaceKey: string, tag: string): Promise<number | undefined> {
    const name = tagKey(namespaceKey, tag);
    const entry = await this.entries.fresh(name);
    try {
      await this.entries.put(this.generation(name, KEEP_EXPIRY, true));
    } catch (error) {
      if (!(error instanceof ConditionFailed)) throw error;
    }
    return entry?.version;
  }

  private async stamp(key: string, tag: string, ttlMs: number, limitBytes: number | undefined): Promise<TagStamp> {
    const name = tagKey(key, tag);
    // L1 keeps it, and must not keep the body of which it is a part.
    const own = ownKey(tag);
    for (let attempt = 1; ; attempt++) {
      const entry = await this.entries.fresh(name);
      if (entry) {
        if (endsBefore(entry, ttlMs)) await this.entries.prolong(name, tagTtlMs(ttlMs));
        return { tag: own, generation: entry.version };
      }
      try {
        const generation = this.generation(name, tagTtlMs(ttlMs), false);
        const { version } = await this.entries.put({ ...generation, limitBytes });
        return { tag: own, generation: version };
      } catch (error) {
        // Somebody else has made it meanwhile.
        if (!(error instanceof ConditionFailed) || attempt === MAX_ATTEMPTS) throw error;
      }
    }
  }

  private generation(key: string, ttlMs: number, exists: boolean): Put {
    return { kind: 'put', key, content: NOTHING, ttlMs, condition: { exists } };
  }
}

function tagTtlMs(ttlMs: number): number {
  return ttlMs === NO_EXPIRY ? NO_EXPIRY : OUTLIVES_BY_FACTOR * ttlMs + DAY_MS;
}

function endsBefore({ expiresAtMs }: Entry, ttlMs: number): boolean {
  return expiresAtMs !== 0 && (ttlMs === NO_EXPIRY || expiresAtMs < Date.now() + ttlMs);
}
