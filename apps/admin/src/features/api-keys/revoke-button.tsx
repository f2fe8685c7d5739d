import type { ApiKey } from '@cache-system/contracts';
import { ActionIcon, Tooltip } from '@mantine/core';
import { IconTrash } from '@tabler/icons-react';

export function RevokeButton({ apiKey, onRevoke }: { apiKey: ApiKey; onRevoke: (apiKey: ApiKey) => void }) {
  return (
    <Tooltip label="Revoke">
      <ActionIcon variant="subtle" color="red" aria-label={`Revoke ${apiKey.name}`} onClick={() => onRevoke(apiKey)}>
        <IconTrash size={18} stroke={1.75} />
      </ActionIcon>
    </Tooltip>
  );
}
