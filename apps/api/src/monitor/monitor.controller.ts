import { type Health, healthQuerySchema, healthSchema, type HealthQuery } from '@cache-system/contracts';
import { Controller, Get, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires } from '../auth/access.js';
import { RequiresFeature } from '../auth/feature.js';
import { ApiErrors, ApiQueries } from '../platform/http/openapi.js';
import { HealthReport } from './health-report.js';

@ApiTags('Monitor')
@Controller('monitor')
export class MonitorController {
  constructor(private readonly report: HealthReport) {}

  @Get('health')
  @Requires('monitor:read')
  @RequiresFeature('monitoring')
  @ApiQueries(healthQuerySchema)
  @ApiOperation({
    summary: 'Health of this node',
    description: 'The overall status and the figures of the last minute; with `detailed=true` each component as well.',
  })
  @ApiOkResponse({
    standardSchema: healthSchema,
    example: {
      status: 'healthy',
      timestamp: '2026-01-15T10:30:00.000Z',
      uptime: '15d 4h 32m',
      version: '0.1.0',
      overall_performance: {
        requests_per_second: 1247,
        average_response_time_ms: 0.3,
        cache_hit_ratio: 0.89,
        error_rate: 0,
      },
    },
  })
  @ApiErrors('INVALID_REQUEST')
  readHealth(@Query({ schema: healthQuerySchema }) query: HealthQuery): Promise<Health> {
    return this.report.create(query);
  }
}
