import type { Health } from '@cache-system/contracts';
import { Badge } from '@mantine/core';
import { STATUS_COLOR } from './status';

export function StatusBadge({ status, size = 'md' }: { status: Health['status']; size?: 'md' | 'lg' }) {
  return (
    <Badge color={STATUS_COLOR[status]} variant="light" size={size} radius="sm" tt="capitalize" flex="none">
      {status}
    </Badge>
  );
}
