import type { Health } from '@cache-system/contracts';
import { Box, Group, Text, ThemeIcon } from '@mantine/core';
import { IconAlertTriangle, IconCircleCheck, IconCircleX, IconCloudOff } from '@tabler/icons-react';
import { formatClock } from '../../ui/time';
import { useNow } from '../../ui/use-now';
import { ServerUnreachable } from '../session/http';
import { explain } from '../session/problem';
import { HEALTH_INTERVAL_MS } from './health-query';
import { STATUS_COLOR, summarize } from './status';
import { StatusBadge } from './status-badge';
import classes from './status-panel.module.css';

const ICONS = { healthy: IconCircleCheck, degraded: IconAlertTriangle, unhealthy: IconCircleX } as const;

const HEADLINES = {
  healthy: 'All systems are working',
  degraded: 'Working, with problems',
  unhealthy: 'Not working as it should',
} as const;

interface StatusPanelProps {
  health: Health;
  receivedAtMs: number;
  /** Of the latest attempt to read the health; null when it succeeded. */
  error: Error | null;
}

/** The state of the service, or that it is not known any more: what was last read is then marked as old. */
export function StatusPanel({ health, receivedAtMs, error }: StatusPanelProps) {
  const Icon = error === null ? ICONS[health.status] : IconCloudOff;
  const color = error === null ? STATUS_COLOR[health.status] : 'red';
  return (
    <section className={`surface ${classes.panel}`} aria-label="Status" data-stale={error !== null || undefined}>
      <Group wrap="nowrap" align="flex-start" gap="md" className={classes.state}>
        <ThemeIcon size={48} radius="xl" variant="light" color={color}>
          <Icon size={28} stroke={1.75} />
        </ThemeIcon>
        <Box role="status" flex={1}>
          {error === null ? (
            <>
              <Group gap="xs">
                <Text className={classes.headline}>{HEADLINES[health.status]}</Text>
                <StatusBadge status={health.status} />
              </Group>
              <Text c="dimmed" mt={4} className={classes.summary}>
                {summarize(health.components ?? {})}
              </Text>
            </>
          ) : (
            <>
              <Text className={classes.headline}>
                {error instanceof ServerUnreachable ? 'The server has stopped answering' : 'The status cannot be read'}
              </Text>
              <Text c="dimmed" mt={4} className={classes.summary}>
                {error instanceof ServerUnreachable ? '' : `${explain(error)} `}
                What you see is from {formatClock(receivedAtMs)}. Trying again every {HEALTH_INTERVAL_MS / 1000} s.
              </Text>
            </>
          )}
        </Box>
      </Group>
      <dl className={classes.facts}>
        <Fact label="Uptime" value={health.uptime} />
        <Fact label="Version" value={health.version} />
        <Fact label="Updated" value={<Age sinceMs={receivedAtMs} />} live={error === null} />
      </dl>
    </section>
  );
}

function Fact({ label, value, live = false }: { label: string; value: React.ReactNode; live?: boolean }) {
  return (
    <div>
      <dt>
        {label}
        {live && <span className={classes.pulse} aria-hidden="true" />}
      </dt>
      <dd>{value}</dd>
    </div>
  );
}

function Age({ sinceMs }: { sinceMs: number }) {
  const seconds = Math.max(0, Math.floor((useNow(1000) - sinceMs) / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  return `${Math.floor(seconds / 60)} min ago`;
}
