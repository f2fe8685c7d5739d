import { probeSchema } from '@cache-system/contracts';
import { Controller, Get, ServiceUnavailableException } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { HealthCheckService, type HealthCheckResult, HealthIndicatorService } from '@nestjs/terminus';
import { SkipThrottle } from '@nestjs/throttler';
import { Public } from '../auth/access.js';
import { Drain } from '../platform/drain.js';
import { ApiError } from '../platform/http/api-error.js';
import { ApiErrors } from '../platform/http/openapi.js';
import { HealthChecks } from './health-checks.js';

const PROBE_TIMEOUT_MS = 2000;
const OK = { status: 'ok', info: {}, error: {}, details: {} };

/** Probes for an orchestrator: no credentials, no limits. */
@ApiTags('Health')
@Controller('health')
@SkipThrottle({ endpoint: true, global: true })
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
  @ApiErrors()
  live(): Promise<HealthCheckResult> {
    return this.health.check([]);
  }

  @Get('ready')
  @Public()
  @ApiOperation({
    summary: 'May traffic be sent here',
    description: '503 while the process stops, or when a part that it needs is down: `details` says which.',
  })
  @ApiOkResponse({ standardSchema: probeSchema, example: OK })
  @ApiErrors('SERVICE_OVERLOADED')
  async ready(): Promise<HealthCheckResult> {
    try {
      return await this.checkAll();
    } catch (cause) {
      if (!(cause instanceof ServiceUnavailableException)) throw cause;
      const { error = {} } = cause.getResponse() as HealthCheckResult;
      throw new ApiError('SERVICE_OVERLOADED', error, { cause, headers: { 'Retry-After': '1' } });
    }
  }

  private checkAll(): Promise<HealthCheckResult> {
    return this.health.check([
      () => {
        const indicator = this.indicators.check('lifecycle');
        return this.drain.draining ? indicator.down('stopping') : indicator.up();
      },
      ...this.checks.components.map((component) => async () => {
        const indicator = this.indicators.check(component);
        const { status, error } = await this.checks.check(component, PROBE_TIMEOUT_MS);
        if (status !== 'unhealthy') return indicator.up();
        // Without a part that is not vital the node is worth less, but not nothing: it keeps its traffic.
        return component === this.checks.vital
          ? indicator.down(error ?? status)
          : indicator.up({ degraded: error ?? status });
      }),
    ]);
  }
}
