import { probeSchema } from '@cache-system/contracts';
import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { HealthCheckService, type HealthCheckResult, HealthIndicatorService } from '@nestjs/terminus';
import { Public } from '../auth/access.js';
import { Drain } from '../platform/drain.js';
import { COMPONENTS, HealthChecks } from './health-checks.js';

const PROBE_TIMEOUT_MS = 2000;
const OK = { status: 'ok', info: {}, error: {}, details: {} };

/** Probes for an orchestrator: no credentials, no limits. */
@ApiTags('Health')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly checks: HealthChecks,
    private readonly drain: Drain,
  ) {}

  @Get('live')
  @Public()
  @ApiOperation({ summary: 'Is the process alive', description: 'Says nothing about what the process depends on.' })
  @ApiOkResponse({ standardSchema: probeSchema, example: OK })
  live(): Promise<HealthCheckResult> {
    return this.health.check([]);
  }

  @Get('ready')
  @Public()
  @ApiOperation({
    summary: 'May traffic be sent here',
    description: '503 while the process starts or stops, or when a part that it needs is down.',
  })
  @ApiOkResponse({ standardSchema: probeSchema, example: OK })
  @ApiResponse({ status: 503, standardSchema: probeSchema, description: 'Send traffic elsewhere' })
  ready(): Promise<HealthCheckResult> {
    return this.health.check([
      () => {
        const indicator = this.indicators.check('lifecycle');
        return this.drain.draining ? indicator.down('stopping') : indicator.up();
      },
      ...COMPONENTS.map((component) => async () => {
        const indicator = this.indicators.check(component);
        const { status, error } = await this.checks.check(component, PROBE_TIMEOUT_MS);
        return status === 'healthy' ? indicator.up() : indicator.down(error ?? status);
      }),
    ]);
  }
}
