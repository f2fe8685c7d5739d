import { Module } from '@nestjs/common';
import { EngineModule } from '../platform/engine/engine.module.js';
import { CacheController } from './cache.controller.js';
import { CacheReads } from './cache-reads.js';
import { CacheWrites } from './cache-writes.js';

@Module({
  imports: [EngineModule],
  controllers: [CacheController],
  providers: [CacheReads, CacheWrites],
})
export class CacheModule {}
