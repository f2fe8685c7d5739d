import type { ApiKey } from '@cache-system/contracts';
import { Group, SimpleGrid, Text } from '@mantine/core';
import type { ReactNode } from 'react';
import { Day } from '../../ui/time';
import classes from './api-key-cards.module.css';
import { Expiry, KeyName, LastUse, Permissions, RateLimit, Scope } from './key-facts';
import { RevokeButton } from './revoke-button';

interface ApiKeyCardsProps {
  apiKeys: readonly ApiKey[];
  /** null where the user may not revoke keys. */
  onRevoke: ((apiKey: ApiKey) => void) | null;
}

/** The table for narrow screens. */
export function ApiKeyCards({ apiKeys, onRevoke }: ApiKeyCardsProps) {
  return (
    <SimpleGrid component="ul" cols={{ base: 1, md: 2 }} spacing="md" className={classes.list} aria-label="API keys">
      {apiKeys.map((apiKey) => (
        <li key={apiKey.key_id} className={`surface ${classes.card}`}>
          <Group justify="space-between" align="flex-start" wrap="nowrap" mb="sm">
            <KeyName apiKey={apiKey} />
            {onRevoke && <RevokeButton apiKey={apiKey} onRevoke={onRevoke} />}
          </Group>
          <Permissions grants={apiKey.permissions} />
          <dl className={classes.facts}>
            <Fact label="Namespace">
              <Scope apiKey={apiKey} />
            </Fact>
            <Fact label="Rate limit">
              <RateLimit apiKey={apiKey} />
            </Fact>
            <Fact label="Tier">
              <Text size="sm" tt="capitalize">
                {apiKey.tier}
              </Text>
            </Fact>
            <Fact label="Created">
              <Day at={apiKey.created_at} />
            </Fact>
            <Fact label="Expires">
              <Expiry at={apiKey.expires_at} />
            </Fact>
            <Fact label="Last used">
              <LastUse at={apiKey.last_used_at} />
            </Fact>
          </dl>
        </li>
      ))}
    </SimpleGrid>
  );
}

function Fact({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}
