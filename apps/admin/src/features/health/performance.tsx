import { SimpleGrid, Text } from '@mantine/core';
import { formatMs, formatNumber, formatPercent } from '../../ui/numbers';
import { Sparkline } from '../../ui/sparkline';
import type { HealthReading } from './health-query';
import classes from './performance.module.css';

type Figures = HealthReading['health']['overall_performance'];

interface Figure {
  name: keyof Figures;
  label: string;
  color: string;
  format: (value: number) => string;
}

const FIGURES: readonly Figure[] = [
  { name: 'requests_per_second', label: 'Requests per second', color: 'iris', format: formatNumber },
  { name: 'average_response_time_ms', label: 'Mean response time', color: 'cyan', format: formatMs },
  { name: 'cache_hit_ratio', label: 'Cache hit ratio', color: 'teal', format: (ratio) => `${formatPercent(ratio)} %` },
  { name: 'error_rate', label: 'Error rate', color: 'red', format: (ratio) => `${formatPercent(ratio)} %` },
];

export function Performance({ reading }: { reading: HealthReading }) {
  return (
    <SimpleGrid cols={{ base: 2, lg: 4 }} spacing={{ base: 'sm', sm: 'md' }}>
      {FIGURES.map(({ name, label, color, format }) => {
        const value = reading.health.overall_performance[name];
        return (
          <div key={name} className={`surface ${classes.figure}`}>
            <Text size="sm" c="dimmed" component="h3" fw={400} m={0}>
              {label}
            </Text>
            {value === null ? (
              <p className={classes.none}>No traffic yet</p>
            ) : (
              <p className={classes.value}>{format(value)}</p>
            )}
            <div className={classes.course}>
              <Sparkline values={reading.samples.map(({ performance }) => performance[name])} color={color} />
            </div>
          </div>
        );
      })}
    </SimpleGrid>
  );
}
