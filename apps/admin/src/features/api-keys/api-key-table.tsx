import type { ApiKey } from '@cache-system/contracts';
import { Table, Text, VisuallyHidden } from '@mantine/core';
import { Day } from '../../ui/time';
import classes from './api-key-table.module.css';
import { Expiry, KeyName, LastUse, Permissions, RateLimit, Scope } from './key-facts';
import { RevokeButton } from './revoke-button';

interface ApiKeyListProps {
  apiKeys: readonly ApiKey[];
  /** null where the user may not revoke keys. */
  onRevoke: ((apiKey: ApiKey) => void) | null;
}

const COLUMNS = ['Key', 'Permissions', 'Namespace', 'Tier', 'Rate limit', 'Created', 'Expires', 'Last used'];

export function ApiKeyTable({ apiKeys, onRevoke }: ApiKeyListProps) {
  return (
    <div className={`surface ${classes.frame}`}>
      <Table verticalSpacing="sm" horizontalSpacing="md" aria-label="API keys" className={classes.table}>
        <Table.Thead>
          <Table.Tr>
            {COLUMNS.map((column) => (
              <Table.Th key={column} scope="col">
                {column}
              </Table.Th>
            ))}
            {onRevoke && (
              <Table.Th scope="col">
                <VisuallyHidden>Actions</VisuallyHidden>
              </Table.Th>
            )}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {apiKeys.map((apiKey) => (
            <Table.Tr key={apiKey.key_id}>
              <Table.Td>
                <KeyName apiKey={apiKey} />
              </Table.Td>
              <Table.Td className={classes.permissions}>
                <Permissions grants={apiKey.permissions} />
              </Table.Td>
              <Table.Td>
                <Scope apiKey={apiKey} />
              </Table.Td>
              <Table.Td>
                <Text size="sm" tt="capitalize">
                  {apiKey.tier}
                </Text>
              </Table.Td>
              <Table.Td>
                <RateLimit apiKey={apiKey} />
              </Table.Td>
              <Table.Td className={classes.time}>
                <Day at={apiKey.created_at} />
              </Table.Td>
              <Table.Td className={classes.time}>
                <Expiry at={apiKey.expires_at} />
              </Table.Td>
              <Table.Td className={classes.time}>
                <LastUse at={apiKey.last_used_at} />
              </Table.Td>
              {onRevoke && (
                <Table.Td>
                  <RevokeButton apiKey={apiKey} onRevoke={onRevoke} />
                </Table.Td>
              )}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}
