import type { Permission } from '@cache-system/contracts';
import { Text } from '@mantine/core';
import { IconLock } from '@tabler/icons-react';
import classes from './missing-permission.module.css';

/** Says why something is not offered. */
export function MissingPermission({ permission, action }: { permission: Permission; action: string }) {
  return (
    <Text size="sm" c="dimmed" className={classes.line}>
      <IconLock size={16} stroke={1.75} aria-hidden className={classes.icon} />
      <span>
        Your account may not {action}: it lacks the permission <code>{permission}</code>.
      </span>
    </Text>
  );
}
