import { BatchedLayer, Cache, MemoryLayer } from '@cache-system/cache-engine';
import type { Config } from '@cache-system/contracts';
import { Module, type OnApplicationShutdown } from '@nestjs/common';
import { LiveConfig } from '../live-config.js';
import { ENVIRONMENT } from '../platform.module.js';
import { openSharedLayer, SharedLayer } from './shared-layer.js';

/** The layers and the cache over them, handed their part of the configuration whenever it changes. */
@Module({
  providers: [
    { provide: SharedLayer, inject: [ENVIRONMENT, LiveConfig], useFactory: openSharedLayer },
    {
      provide: MemoryLayer,
      inject: [LiveConfig],
      useFactory: ({ current }: LiveConfig) => new MemoryLayer(current.cache.layers.l1.size_mb * 1024 * 1024),
    },
    {
      provide: Cache,
      inject: [MemoryLayer, SharedLayer, LiveConfig],
      useFactory: (l1: MemoryLayer, { layer }: SharedLayer, config: LiveConfig) => {
        const cache = new Cache(l1, new BatchedLayer(layer), settingsOf(config.current));
        config.follow((snapshot) => cache.configure(settingsOf(snapshot)));
        return cache;
      },
    },
  ],
  exports: [Cache, MemoryLayer, SharedLayer],
})
export class EngineModule implements OnApplicationShutdown {
  constructor(private readonly shared: SharedLayer) {}

  onApplicationShutdown(): Promise<void> {
    return this.shared.layer.close();
  }
}

function settingsOf({ cache }: Config) {
  return { layers: cache.layers, defaultStrategy: cache.strategies.default_strategy };
}
