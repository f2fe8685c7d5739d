import type { ComponentHealth } from '@cache-system/contracts';
import { MemoryLayer } from '@cache-system/cache-engine';
import { Inject, Injectable } from '@nestjs/common';
import { SharedLayer } from '../platform/engine/shared-layer.js';
import { DATABASE } from '../platform/platform.module.js';
import type { Database } from '../platform/postgres/database.js';

export const COMPONENTS = ['cache_l1', 'cache_l2', 'database'] as const;
export type Component = (typeof COMPONENTS)[number];
/** Without these nothing is answered rightly; without the others something still is. */
export const VITAL: readonly Component[] = ['cache_l1', 'cache_l2'];

/** Asks each part of the service whether it works. */
@Injectable()
export class HealthChecks {
  constructor(
    private readonly l1: MemoryLayer,
    private readonly l2: SharedLayer,
    @Inject(DATABASE) private readonly database: Database,
  ) {}

  async check(component: Component, timeoutMs: number): Promise<ComponentHealth> {
    const startedAt = performance.now();
    try {
      const facts = await withinTime(this.probe(component), timeoutMs);
      return { status: 'healthy', response_time_ms: roundMs(performance.now() - startedAt), ...facts };
    } catch (error) {
      return { status: 'unhealthy', response_time_ms: null, error: (error as Error).message };
    }
  }

  private async probe(component: Component): Promise<Partial<ComponentHealth>> {
    switch (component) {
      case 'cache_l1':
        return {
          type: 'memory',
          memory_usage_percent: Math.round((this.l1.sizeBytes / this.l1.capacityBytes) * 1000) / 10,
          entries: this.l1.count,
        };
      case 'cache_l2':
        await this.l2.layer.check();
        return { type: this.l2.type };
      case 'database':
        await this.database.source.query('SELECT 1').catch((cause: unknown) => {
          // The driver's own text names hosts and users, and probes are for everybody to see.
          throw new Error('the database does not answer', { cause });
        });
        return { type: this.database.type };
    }
  }
}

function withinTime<T>(answer: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  return Promise.race([answer, timeout]).finally(() => clearTimeout(timer));
}

function roundMs(ms: number): number {
  return Math.round(ms * 100) / 100;
}
