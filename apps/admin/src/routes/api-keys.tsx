import type { ApiKey } from '@cache-system/contracts';
import { Button, Skeleton, Stack, Text, Title } from '@mantine/core';
import { useDisclosure, useMediaQuery } from '@mantine/hooks';
import { IconKey, IconPlus } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { ApiKeyCards } from '../features/api-keys/api-key-cards';
import { ApiKeyTable } from '../features/api-keys/api-key-table';
import { apiKeysQuery } from '../features/api-keys/api-keys-query';
import { CreateDialog } from '../features/api-keys/create-dialog';
import { RevokeDialog } from '../features/api-keys/revoke-dialog';
import { may, useIdentity } from '../features/session/identity';
import { MissingPermission } from '../features/session/missing-permission';
import { Problem } from '../features/session/problem';
import { PageHeader } from '../ui/page-header';
import classes from './api-keys.module.css';

export function ApiKeysPage() {
  const identity = useIdentity();
  const mayWrite = may(identity, 'admin:write');
  const [creating, create] = useDisclosure(false);
  const createButton = mayWrite && (
    <Button leftSection={<IconPlus size={18} />} onClick={create.open}>
      Create a key
    </Button>
  );
  return (
    <>
      <PageHeader title="API keys" description="What applications use to reach the cache.">
        {createButton}
      </PageHeader>
      <Stack gap="md">
        {!mayWrite && <MissingPermission permission="admin:write" action="create or revoke keys" />}
        {may(identity, 'admin:read') ? (
          <ApiKeys mayRevoke={mayWrite} createButton={createButton} />
        ) : (
          <MissingPermission permission="admin:read" action="see the keys" />
        )}
      </Stack>
      {mayWrite && <CreateDialog opened={creating} onClose={create.close} />}
    </>
  );
}

function ApiKeys({ mayRevoke, createButton }: { mayRevoke: boolean; createButton: ReactNode }) {
  const { data, error, refetch } = useQuery(apiKeysQuery);
  const wide = useMediaQuery('(min-width: 80em)', true, { getInitialValueInEffect: false });
  const [revoking, setRevoking] = useState<ApiKey | null>(null);
  const [confirming, confirmation] = useDisclosure(false);

  if (data === undefined && error === null) return <Skeleton height={320} radius="lg" aria-busy aria-label="Loading" />;
  const List = wide ? ApiKeyTable : ApiKeyCards;
  const onRevoke = (apiKey: ApiKey) => {
    setRevoking(apiKey);
    confirmation.open();
  };
  return (
    <>
      {error !== null && (
        <Problem error={error}>
          <Button size="xs" color="red" variant="light" mt="sm" onClick={() => void refetch()}>
            Try again
          </Button>
        </Problem>
      )}
      {data?.length === 0 && <NoKeys>{createButton}</NoKeys>}
      {data !== undefined && data.length > 0 && <List apiKeys={data} onRevoke={mayRevoke ? onRevoke : null} />}
      {revoking && (
        <RevokeDialog key={revoking.key_id} apiKey={revoking} opened={confirming} onClose={confirmation.close} />
      )}
    </>
  );
}

function NoKeys({ children }: { children: ReactNode }) {
  return (
    <div className={`surface ${classes.none}`}>
      <IconKey size={36} stroke={1.25} aria-hidden />
      <Title order={2} mt="sm">
        No API keys yet
      </Title>
      <Text c="dimmed" mt={4} mb="lg">
        An application needs one to read and write entries.
      </Text>
      {children}
    </div>
  );
}
