import { type Health, healthSchema } from '@cache-system/contracts';
import { queryOptions } from '@tanstack/react-query';
import { session } from '../session/session';

export const HEALTH_INTERVAL_MS = 5000;

/** Five minutes. */
const MAX_SAMPLES = 60;

/** A longer pause starts the course of the figures anew: a line across it would show what nobody measured. */
const MAX_GAP_MS = 4 * HEALTH_INTERVAL_MS;

interface Sample {
  takenAtMs: number;
  performance: Health['overall_performance'];
}

export interface HealthReading {
  health: Health;
  /** This reading and those before it, oldest first. */
  samples: readonly Sample[];
}

const QUERY_KEY = ['health'] as const;

export const healthQuery = queryOptions({
  queryKey: QUERY_KEY,
  queryFn: async ({ client, signal }): Promise<HealthReading> => {
    const path = '/v1/monitor/health?detailed=true&timeout=3';
    const health = await session.request(path, { response: healthSchema, signal });
    const sample = { takenAtMs: Date.now(), performance: health.overall_performance };
    const earlier = client.getQueryData<HealthReading>(QUERY_KEY)?.samples ?? [];
    const continued = sample.takenAtMs - (earlier.at(-1)?.takenAtMs ?? 0) <= MAX_GAP_MS;
    return { health, samples: continued ? [...earlier, sample].slice(-MAX_SAMPLES) : [sample] };
  },
  refetchInterval: HEALTH_INTERVAL_MS,
  // The next poll is the retry.
  retry: false,
});
