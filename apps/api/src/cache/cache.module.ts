import { Module } from '@nestjs/common';
import { AuthModule } from '../auth/auth.module.js';
import { EngineModule } from '../platform/engine/engine.module.js';
import { CacheController } from './cache.controller.js';
import { CacheReads } from './cache-reads.js';
import { CacheWrites } from './cache-writes.js';
import { FastLane } from './fast-lane.js';

@Module({
  imports: [AuthModule, EngineModule],
  controllers: [CacheController],
  providers: [CacheReads, CacheWrites, FastLane],
})
export class CacheModule {}
