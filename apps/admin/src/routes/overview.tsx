import { Box, SimpleGrid, Skeleton, Stack, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { ComponentCard } from '../features/health/component-card';
import { type HealthReading, healthQuery } from '../features/health/health-query';
import { Performance } from '../features/health/performance';
import { StatusPanel } from '../features/health/status-panel';
import { may, useIdentity } from '../features/session/identity';
import { MissingPermission } from '../features/session/missing-permission';
import { Problem } from '../features/session/problem';
import { PageHeader } from '../ui/page-header';
import classes from './overview.module.css';

export function OverviewPage() {
  return (
    <>
      <PageHeader title="Overview" description="How the service is doing right now." />
      {may(useIdentity(), 'monitor:read') ? (
        <LiveHealth />
      ) : (
        <MissingPermission permission="monitor:read" action="see how the service is doing" />
      )}
    </>
  );
}

function LiveHealth() {
  const { data, error, dataUpdatedAt } = useQuery(healthQuery);
  if (data !== undefined) return <Reading reading={data} receivedAtMs={dataUpdatedAt} error={error} />;
  if (error !== null) return <Problem error={error} />;
  return <Placeholder />;
}

function Reading(props: { reading: HealthReading; receivedAtMs: number; error: Error | null }) {
  const { reading, receivedAtMs, error } = props;
  return (
    <Stack gap="xl">
      <StatusPanel health={reading.health} receivedAtMs={receivedAtMs} error={error} />
      <Box className={classes.figures} data-stale={error !== null || undefined}>
        <SectionTitle title="Traffic" note="This node: the last minute, the hit ratio since its start" />
        <Performance reading={reading} />
      </Box>
      <Box className={classes.figures} data-stale={error !== null || undefined}>
        <SectionTitle title="Components" />
        <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }} spacing="md">
          {Object.entries(reading.health.components ?? {}).map(([id, component]) => (
            <ComponentCard key={id} id={id} component={component} />
          ))}
        </SimpleGrid>
      </Box>
    </Stack>
  );
}

function SectionTitle({ title, note }: { title: string; note?: string }) {
  return (
    <Box className={classes.section}>
      <Title order={2}>{title}</Title>
      {note !== undefined && (
        <Text size="sm" c="dimmed">
          {note}
        </Text>
      )}
    </Box>
  );
}

/** Of the size of what will take its place. */
function Placeholder() {
  return (
    <Stack gap="xl" aria-busy aria-label="Loading">
      <Skeleton className={classes.panelPlaceholder} radius="lg" />
      <Box>
        <SectionTitle title="Traffic" note="This node: the last minute, the hit ratio since its start" />
        <SimpleGrid cols={{ base: 2, lg: 4 }} spacing={{ base: 'sm', sm: 'md' }}>
          {Array.from({ length: 4 }, (_, index) => (
            <Skeleton key={index} height={118} radius="lg" />
          ))}
        </SimpleGrid>
      </Box>
      <Box>
        <SectionTitle title="Components" />
        <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }} spacing="md">
          {Array.from({ length: 3 }, (_, index) => (
            <Skeleton key={index} height={240} radius="lg" />
          ))}
        </SimpleGrid>
      </Box>
    </Stack>
  );
}
