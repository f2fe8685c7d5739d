import { Cache } from '@cache-system/cache-engine';
import type { CacheSize, Config, Tier } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { LiveConfig } from '../platform/live-config.js';

const MIB = 1024 * 1024;

/** Bytes that the entries of a namespace may take by what a caller of the tier writes; undefined: any. */
export function cacheSizeLimit({ rate_limits: { tiers } }: Config, tier: Tier): number | undefined {
  const sizeMb = tiers[tier].cache_size_mb;
  return sizeMb === null ? undefined : sizeMb * MIB;
}

/** Tells how much of its room a namespace takes. */
@Injectable()
export class CacheSizes {
  constructor(
    private readonly cache: Cache,
    private readonly config: LiveConfig,
  ) {}

  async read(namespace: string, tier: Tier): Promise<CacheSize> {
    // Who asks is told the rest also while the layer does not answer.
    const usedBytes = await this.cache.usedBytes(namespace).catch(() => undefined);
    return { used_bytes: usedBytes ?? null, limit_bytes: cacheSizeLimit(this.config.current, tier) ?? null };
  }
}
