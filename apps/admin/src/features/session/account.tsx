import { Box, Button, Stack, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconLogout } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { ColorSchemeControl } from '../../ui/color-scheme-control';
import { useIdentity } from './identity';
import { session } from './session';

export function Account({ onLogout }: { onLogout: () => Promise<void> }) {
  const identity = useIdentity();
  const logout = useMutation({
    mutationFn: () => session.logout(),
    onError: () =>
      notifications.show({
        color: 'orange',
        title: 'Signed out on this device only',
        message: 'The server could not be told. It ends the session by itself after a while.',
      }),
    onSettled: onLogout,
  });
  return (
    <Stack gap="sm">
      <Box px={4}>
        <Text size="sm" fw={550} truncate title={identity.name}>
          {identity.name}
        </Text>
        <Text size="xs" c="dimmed" tt="capitalize">
          {identity.role ?? 'API key'}
        </Text>
      </Box>
      <ColorSchemeControl fullWidth />
      <Button
        variant="default"
        size="xs"
        leftSection={<IconLogout size={16} stroke={1.75} />}
        loading={logout.isPending}
        onClick={() => logout.mutate()}
      >
        Sign out
      </Button>
    </Stack>
  );
}
