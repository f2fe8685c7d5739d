import { Alert, Text } from '@mantine/core';
import { IconAlertTriangle, IconCloudOff } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { ApiError, ServerUnreachable } from './http';

/** What to tell the user about an error. */
export function explain(error: unknown): string {
  if (error instanceof ServerUnreachable) {
    return 'The server does not answer. Check that it is running and that you are connected, then try again.';
  }
  if (!(error instanceof ApiError)) return 'The server gave an answer that this page does not understand.';
  if (error.status === 429) {
    const wait = error.retryAfterSeconds;
    return `Too many requests. Try again ${wait === null ? 'in a while' : `in ${wait} ${wait === 1 ? 'second' : 'seconds'}`}.`;
  }
  return `${error.message}.`;
}

/** Announced to screen readers as it appears. */
export function Problem({ error, text, children }: { error: unknown; text?: string; children?: ReactNode }) {
  const Icon = error instanceof ServerUnreachable ? IconCloudOff : IconAlertTriangle;
  const requestId = error instanceof ApiError && error.status >= 500 ? error.requestId : null;
  return (
    <Alert color="red" variant="light" icon={<Icon size={20} stroke={1.75} />}>
      <Text size="sm">{text ?? explain(error)}</Text>
      {requestId !== null && (
        <Text size="xs" c="dimmed" mt={4}>
          Request {requestId}
        </Text>
      )}
      {children}
    </Alert>
  );
}
