import type { ComponentHealth } from '@cache-system/contracts';
import { Group, Progress, Text, Title } from '@mantine/core';
import { IconBolt, IconDatabase, IconStack2 } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { formatMs, formatNumber } from '../../ui/numbers';
import classes from './component-card.module.css';
import { describeComponent } from './status';
import { StatusBadge } from './status-badge';

const ICONS: Readonly<Record<string, typeof IconBolt>> = {
  cache_l1: IconBolt,
  cache_l2: IconStack2,
  database: IconDatabase,
};

export function ComponentCard({ id, component }: { id: string; component: ComponentHealth }) {
  const { name, purpose } = describeComponent(id);
  const Icon = ICONS[id] ?? IconStack2;
  const { connections, nodes } = component;
  const { status, type, error, entries, response_time_ms: responseTimeMs, memory_usage_percent: memory } = component;
  return (
    <article className={`surface ${classes.card}`} aria-label={name}>
      <Group justify="space-between" align="flex-start" wrap="nowrap" mb="md">
        <Group gap="sm" wrap="nowrap" align="flex-start">
          <span className={classes.icon}>
            <Icon size={20} stroke={1.75} aria-hidden />
          </span>
          <div>
            <Title order={3} size="md" lh={1.3}>
              {name}
            </Title>
            <Text size="sm" c="dimmed" lh={1.4}>
              {purpose}
            </Text>
          </div>
        </Group>
        <StatusBadge status={status} />
      </Group>
      <dl className={classes.facts}>
        {type !== undefined && <Fact label="Type">{type}</Fact>}
        <Fact label="Response time">{responseTimeMs === null ? 'No answer' : formatMs(responseTimeMs)}</Fact>
        {entries !== undefined && <Fact label="Entries">{entries.toLocaleString('en')}</Fact>}
        {connections && <Fact label="Connections">{`${connections.active} of ${connections.max}`}</Fact>}
        {nodes && <Fact label="Nodes">{`${nodes.healthy} of ${nodes.total}`}</Fact>}
        {memory !== undefined && (
          <Fact label="Memory used">
            {formatNumber(memory)} %
            <Progress
              value={memory}
              size="sm"
              mt={6}
              color={memory >= 90 ? 'orange' : 'iris'}
              aria-label={`Memory used by the ${name}`}
              className={classes.bar}
            />
          </Fact>
        )}
      </dl>
      {error !== undefined && <p className={classes.error}>{error}</p>}
    </article>
  );
}

function Fact({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className={classes.fact}>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}
