import { staleMs } from './attributes.js';
import { type Entry, isStale, type Stamp } from './entry.js';
import { TooMuchContention } from './errors.js';
import { type Mutation, NO_EXPIRY } from './mutation.js';
import type { ReadTrace } from './read-trace.js';
import type { Applied, ReplicationWish, SharedTiers } from './shared-tiers.js';
import type { Tags } from './tags.js';

/** For so long a change is tried again that keeps being overtaken by other nodes. */
export const CONTENTION_LIMIT_MS = 2000;
/** How often what became of a tagged entry may change while it is looked at. */
const MAX_CHECKS = 10;

/** The shared layers, without what is there and as good as gone: an entry whose tags were invalidated, or that is stale. */
export class LivingEntries {
  constructor(
    private readonly shared: SharedTiers,
    private readonly tags: Tags,
  ) {}

  /**
   * Runs a mutation. Where it meets a conditional entry, it is found out first whether that is alive: one whose tags
   * were invalidated, or that is stale, is as good as none, and nothing may be decided by it.
   */
  async apply(mutation: Mutation, around: boolean, replicate?: ReplicationWish): Promise<Applied> {
    let current = mutation;
    for (let attempt = 0; attempt < MAX_CHECKS; attempt++) {
      const applied = await this.shared.apply(current, around, replicate);
      if (applied.outcome.status !== 'unproven') return applied;
      current = mutation;
      const entry = await this.shared.fresh(mutation.key);
      // There is none any more, or it cannot be read: nobody will ever know more of it.
      if (!entry) await this.bury(mutation.key, applied.outcome);
      else if (await this.isAlive(mutation.key, entry, true)) {
        const { tags = [] } = entry.attributes ?? {};
        if (mutation.kind === 'touch') await this.tags.outlive(mutation.key, tags, mutation.ttlMs);
        current = proven(mutation, entry);
      } else {
        await this.bury(mutation.key, entry);
      }
    }
    throw new TooMuchContention(CONTENTION_LIMIT_MS);
  }

  /** Removes an entry that is as good as gone, unless there is another one by now. */
  async bury(key: string, { version }: { readonly version: number }): Promise<void> {
    await this.shared.apply({ kind: 'remove', key, condition: { versionIn: [version], checked: version } }, false);
  }

  async isAlive(key: string, entry: Stamp & Pick<Entry, 'attributes'>, fresh: boolean): Promise<boolean> {
    return !isStale(entry, Date.now()) && this.hasItsTags(key, entry, fresh);
  }

  async hasItsTags(
    key: string,
    { attributes }: Pick<Entry, 'attributes'>,
    fresh: boolean,
    trace?: ReadTrace,
  ): Promise<boolean> {
    return attributes?.tags === undefined || this.tags.areCurrent(key, attributes.tags, fresh, trace);
  }
}

/** A mutation that may go ahead where it meets just this entry, which is alive. What it is kept for as stale comes on top. */
function proven(mutation: Mutation, { version, attributes }: Entry): Mutation {
  const condition = { ...mutation.condition, checked: version };
  if (mutation.kind !== 'touch' || mutation.ttlMs === NO_EXPIRY) return { ...mutation, condition } as Mutation;
  return { ...mutation, ttlMs: mutation.ttlMs + staleMs(attributes?.staleness), condition };
}
