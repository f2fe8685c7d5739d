import { Cache, ChangeFeed, MemoryLayer } from '@cache-system/cache-engine';
import type { Config } from '@cache-system/contracts';
import { Module, type OnApplicationShutdown } from '@nestjs/common';
import { LiveConfig } from '../live-config.js';
import { ENVIRONMENT } from '../platform.module.js';
import { Secrets } from '../secrets.js';
import { Layers, openLayers } from './layers.js';

/** The layers and the cache over them, handed their part of the configuration whenever it changes. */
@Module({
  providers: [
    { provide: Layers, inject: [ENVIRONMENT, LiveConfig], useFactory: openLayers },
    {
      provide: MemoryLayer,
      inject: [LiveConfig],
      useFactory: ({ current }: LiveConfig) => {
        const { size_mb: sizeMb, eviction_policy: policy } = current.cache.layers.l1;
        return new MemoryLayer(sizeMb * 1024 * 1024, policy);
      },
    },
    {
      provide: Cache,
      inject: [MemoryLayer, Layers, LiveConfig, Secrets],
      useFactory: (l1: MemoryLayer, { tiers, backplane }: Layers, config: LiveConfig, secrets: Secrets) => {
        const cache = new Cache(l1, tiers, backplane, settingsOf(config.current), secrets.encryptionKeys);
        config.follow((snapshot) => cache.configure(settingsOf(snapshot)));
        return cache;
      },
    },
    {
      provide: ChangeFeed,
      inject: [Layers, LiveConfig],
      useFactory: ({ backplane }: Layers, config: LiveConfig) =>
        new ChangeFeed(backplane, () => config.current.cache.events.buffer_mb * 1024 * 1024),
    },
  ],
  exports: [Cache, ChangeFeed, MemoryLayer, Layers],
})
export class EngineModule implements OnApplicationShutdown {
  constructor(
    private readonly layers: Layers,
    private readonly l1: MemoryLayer,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    await this.layers.close();
    await this.l1.close();
  }
}

function settingsOf({ cache }: Config) {
  return {
    layers: cache.layers,
    defaultStrategy: cache.strategies.default_strategy,
    storage: { compression: cache.compression, encryption: cache.encryption },
  };
}
