import type { ComponentHealth, Health } from '@cache-system/contracts';

type Status = Health['status'];

export const STATUS_COLOR: Readonly<Record<Status, string>> = {
  healthy: 'teal',
  degraded: 'orange',
  unhealthy: 'red',
};

const COMPONENTS: Readonly<Record<string, { name: string; purpose: string }>> = {
  cache_l1: { name: 'L1 cache', purpose: 'Memory of this node' },
  cache_l2: { name: 'L2 cache', purpose: 'Asked on an L1 miss' },
  cache_l3: { name: 'L3 cluster', purpose: 'Asked last, and decides every write' },
  database: { name: 'Database', purpose: 'Users and API keys' },
};

export function describeComponent(id: string): { name: string; purpose: string } {
  return COMPONENTS[id] ?? { name: id.replaceAll('_', ' '), purpose: 'Component' };
}

/** One sentence on the components that are not healthy. */
export function summarize(components: Readonly<Record<string, ComponentHealth>>): string {
  const affected = Object.entries(components).filter(([, { status }]) => status !== 'healthy');
  if (affected.length === 0) return 'Every component answers as it should.';
  return `${affected.map(([id, { status }]) => `${describeComponent(id).name} is ${status}`).join(', ')}.`;
}
