import type { ComponentHealth } from '@cache-system/contracts';
import { MemoryLayer } from '@cache-system/cache-engine';
import { Inject, Injectable } from '@nestjs/common';
import { RateLimiter } from '../auth/rate-limiter.js';
import { Layers, type SharedLayer } from '../platform/engine/layers.js';
import { DATABASE } from '../platform/platform.module.js';
import type { Database } from '../platform/postgres/database.js';

export type Component = 'cache_l1' | 'cache_l2' | 'cache_l3' | 'database' | 'rate_limits';

/** Asks each part of the service whether it works. */
@Injectable()
export class HealthChecks {
  constructor(
    private readonly l1: MemoryLayer,
    private readonly layers: Layers,
    private readonly limiter: RateLimiter,
    @Inject(DATABASE) private readonly database: Database,
  ) {}

  /** What there is to be checked: a layer that is not configured is left out. */
  get components(): readonly Component[] {
    const { l2, l3 } = this.layers;
    return ['cache_l1', ...(l2 ? (['cache_l2'] as const) : []), ...(l3 ? (['cache_l3'] as const) : []), 'database'];
  }

  /** The same, and what the service goes on without. */
  get reported(): readonly Component[] {
    return [...this.components, ...(this.limiter.isTogether === undefined ? [] : (['rate_limits'] as const))];
  }

  /** Without this nothing is stored; without the others something still works. */
  get vital(): Component {
    return this.layers.l3 ? 'cache_l3' : 'cache_l2';
  }

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
        return probeLayer(this.layers.l2);
      case 'cache_l3':
        return this.probeCluster();
      case 'database':
        await this.database.source.query('SELECT 1').catch((cause: unknown) => {
          // The driver's own text names hosts and users, and probes are for everybody to see.
          throw new Error('the database does not answer', { cause });
        });
        return { type: this.database.type };
      case 'rate_limits':
        if (this.limiter.isTogether) return { type: 'redis' };
        return { status: 'degraded', error: 'Redis does not answer: each node keeps its part of the limits' };
    }
  }

  /** A node that is missing matters, although its replica or master does its work. */
  private async probeCluster(): Promise<Partial<ComponentHealth>> {
    const facts = await probeLayer(this.layers.l3);
    const nodes = this.layers.cluster?.nodeCounts;
    if (!nodes) return facts;
    return { ...facts, nodes, ...(nodes.unhealthy > 0 && { status: 'degraded' as const }) };
  }
}

async function probeLayer(layer: SharedLayer | undefined): Promise<Partial<ComponentHealth>> {
  if (!layer) throw new Error('is not configured');
  await layer.check();
  return { type: layer.type, ...(layer.connections && { connections: layer.connections }) };
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
