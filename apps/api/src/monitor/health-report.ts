import { Cache } from '@cache-system/cache-engine';
import type { ComponentHealth, Health, HealthQuery } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { Drain } from '../platform/drain.js';
import { Traffic } from '../platform/traffic.js';
import { VERSION } from '../platform/version.js';
import { HealthChecks } from './health-checks.js';

@Injectable()
export class HealthReport {
  constructor(
    private readonly checks: HealthChecks,
    private readonly traffic: Traffic,
    private readonly cache: Cache,
    private readonly drain: Drain,
  ) {}

  async create({ detailed, timeout }: HealthQuery): Promise<Health> {
    const names = this.checks.reported;
    const checked = await Promise.all(names.map(async (name) => [name, await this.checks.check(name, timeout * 1000)]));
    const components = Object.fromEntries(checked) as Record<string, ComponentHealth>;
    const { requestsPerSecond, averageResponseTimeMs, errorRate } = this.traffic.summary();
    return {
      status: this.overall(components),
      timestamp: new Date().toISOString(),
      uptime: uptimeText(process.uptime()),
      version: VERSION,
      ...(detailed && { components, unreadable_entries: { ...this.cache.unreadable } }),
      overall_performance: {
        requests_per_second: requestsPerSecond,
        average_response_time_ms: averageResponseTimeMs,
        cache_hit_ratio: this.hitRatio(),
        error_rate: errorRate,
      },
    };
  }

  private overall(components: Record<string, ComponentHealth>): Health['status'] {
    if (components[this.checks.vital]?.status === 'unhealthy') return 'unhealthy';
    const allHealthy = Object.values(components).every(({ status }) => status === 'healthy');
    return this.drain.draining || !allHealthy ? 'degraded' : 'healthy';
  }

  private hitRatio(): number | null {
    const { L1, L2, L3, misses } = this.cache.counts;
    const hits = L1 + L2 + L3;
    const reads = hits + misses;
    return reads === 0 ? null : Math.round((hits / reads) * 10_000) / 10_000;
  }
}

function uptimeText(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  return `${Math.floor(minutes / 1440)}d ${Math.floor(minutes / 60) % 24}h ${minutes % 60}m`;
}
