import { Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { AuthModule } from '../auth/auth.module.js';
import { EngineModule } from '../platform/engine/engine.module.js';
import { HealthChecks } from './health-checks.js';
import { HealthReport } from './health-report.js';
import { HealthController } from './health.controller.js';
import { MonitorController } from './monitor.controller.js';

@Module({
  imports: [TerminusModule.forRoot({ errorLogStyle: 'json', logger: false }), AuthModule, EngineModule],
  controllers: [HealthController, MonitorController],
  providers: [HealthChecks, HealthReport],
})
export class MonitorModule {}
