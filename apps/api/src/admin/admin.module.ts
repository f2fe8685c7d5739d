import { Module } from '@nestjs/common';
import { AuthModule } from '../auth/auth.module.js';
import { CacheModule } from '../cache/cache.module.js';
import { EngineModule } from '../platform/engine/engine.module.js';
import { ENVIRONMENT } from '../platform/platform.module.js';
import { ApiNodes } from './api-nodes.js';
import { AuditController } from './audit.controller.js';
import { AuditRecords } from './audit-records.js';
import { ClusterJobRunner } from './cluster-job-runner.js';
import { ClusterJobs } from './cluster-jobs.js';
import { JobEvents } from './job-events.js';
import { NodeJobsController } from './node-jobs.controller.js';
import { NodesController } from './nodes.controller.js';
import { NodesService } from './nodes.service.js';
import { openStorageCluster, STORAGE_CLUSTER } from './storage-cluster.js';
import { StorageNodes } from './storage-nodes.js';
import { UsersController } from './users.controller.js';
import { WriteBehindController } from './write-behind.controller.js';
import { WriteBehindRecords } from './write-behind-records.js';

@Module({
  imports: [AuthModule, EngineModule, CacheModule],
  controllers: [AuditController, NodeJobsController, NodesController, UsersController, WriteBehindController],
  providers: [
    { provide: STORAGE_CLUSTER, inject: [ENVIRONMENT], useFactory: openStorageCluster },
    ApiNodes,
    AuditRecords,
    ClusterJobRunner,
    ClusterJobs,
    JobEvents,
    NodesService,
    StorageNodes,
    WriteBehindRecords,
  ],
})
export class AdminModule {}
