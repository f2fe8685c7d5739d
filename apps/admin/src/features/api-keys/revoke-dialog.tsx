import type { ApiKey } from '@cache-system/contracts';
import { Button, Code, Group, Modal, Stack, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { focusHeading } from '../../ui/page-header';
import { ApiError } from '../session/http';
import { Problem } from '../session/problem';
import { useRevokeApiKey } from './api-keys-query';

interface RevokeDialogProps {
  apiKey: ApiKey;
  opened: boolean;
  onClose: () => void;
}

export function RevokeDialog({ apiKey, opened, onClose }: RevokeDialogProps) {
  const revoke = useRevokeApiKey();
  const confirm = () =>
    revoke.mutate(apiKey.key_id, {
      onSuccess: () => {
        notifications.show({ color: 'teal', message: `The key “${apiKey.name}” is revoked.` });
        onClose();
      },
    });
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={`Revoke “${apiKey.name}”?`}
      centered
      // The button that opened the dialog is gone with its key.
      onExitTransitionEnd={() => revoke.isSuccess && focusHeading()}
    >
      <Stack>
        <Text size="sm">
          Whatever uses the key <Code>{apiKey.key_hint}…</Code> stops working within a second. This cannot be undone.
        </Text>
        {revoke.isError && <RevokeProblem error={revoke.error} />}
        <Group justify="flex-end" gap="sm">
          <Button variant="default" onClick={onClose} data-autofocus>
            Cancel
          </Button>
          <Button color="red.9" loading={revoke.isPending} onClick={confirm}>
            Revoke the key
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

function RevokeProblem({ error }: { error: Error }) {
  const gone = error instanceof ApiError && error.status === 404;
  return <Problem error={error} {...(gone && { text: 'Somebody has revoked this key already.' })} />;
}
