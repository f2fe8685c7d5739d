import { Cache, Exclusive } from '@cache-system/cache-engine';
import { Module } from '@nestjs/common';
import { AuthModule } from '../auth/auth.module.js';
import { EngineModule } from '../platform/engine/engine.module.js';
import { SourcesModule } from '../sources/sources.module.js';
import { CacheController } from './cache.controller.js';
import { CacheBulk } from './cache-bulk.js';
import { CacheCollections } from './cache-collections.js';
import { CacheEvents } from './cache-events.js';
import { CacheReads } from './cache-reads.js';
import { CacheWrites } from './cache-writes.js';
import { FastLane } from './fast-lane.js';
import { KeyChanges } from './key-changes.js';
import { Leases } from './leases.js';
import { ObjectController } from './object.controller.js';
import { Objects } from './objects.js';
import { Reencryption } from './reencryption.js';
import { SchemaController } from './schema.controller.js';
import { SourceDeliveries } from './source-deliveries.js';
import { SourceReads } from './source-reads.js';
import { SourceWatches } from './source-watches.js';
import { SourceWrites } from './source-writes.js';
import { Sweeps } from './sweeps.js';

@Module({
  imports: [AuthModule, EngineModule, SourcesModule],
  controllers: [CacheController, ObjectController, SchemaController],
  providers: [
    CacheReads,
    CacheWrites,
    CacheCollections,
    CacheBulk,
    CacheEvents,
    Sweeps,
    { provide: Exclusive, useFactory: (cache: Cache) => new Exclusive(cache), inject: [Cache] },
    SourceDeliveries,
    SourceReads,
    SourceWrites,
    SourceWatches,
    KeyChanges,
    Leases,
    Objects,
    Reencryption,
    FastLane,
  ],
  exports: [SourceDeliveries],
})
export class CacheModule {}
