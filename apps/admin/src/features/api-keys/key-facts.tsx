import type { ApiKey, Grant } from '@cache-system/contracts';
import { Badge, Group, Text, Tooltip } from '@mantine/core';
import { Day, RelativeTime } from '../../ui/time';
import { useNow } from '../../ui/use-now';
import { meaningOf } from './grants';
import classes from './key-facts.module.css';

const SOON_MS = 7 * 24 * 3600 * 1000;

export function KeyName({ apiKey }: { apiKey: ApiKey }) {
  return (
    <div className={classes.name}>
      <Text fw={600} size="sm" lineClamp={2}>
        {apiKey.name}
      </Text>
      <Text size="xs" c="dimmed" className={classes.mono}>
        {apiKey.key_hint}…
      </Text>
    </div>
  );
}

export function Permissions({ grants }: { grants: readonly Grant[] }) {
  return (
    <Group gap={4}>
      {grants.map((grant) => (
        <Tooltip key={grant} label={meaningOf(grant)}>
          <Badge variant="light" color="gray" size="sm" radius="sm" className={classes.grant}>
            {grant === '*' ? '* everything' : grant}
          </Badge>
        </Tooltip>
      ))}
    </Group>
  );
}

export function Scope({ apiKey }: { apiKey: ApiKey }) {
  return (
    <>
      <Text size="sm">{apiKey.namespace}</Text>
      {apiKey.key_prefixes.length > 0 && (
        <Text size="xs" c="dimmed" className={classes.mono}>
          {apiKey.key_prefixes.map((prefix) => `${prefix}*`).join(' ')}
        </Text>
      )}
    </>
  );
}

export function RateLimit({ apiKey }: { apiKey: ApiKey }) {
  const { requests_per_minute: perMinute, burst_size: burst } = apiKey.rate_limit;
  return (
    <>
      <Text size="sm" className={classes.figure}>
        {perMinute.toLocaleString('en')} / min
      </Text>
      <Text size="xs" c="dimmed" className={classes.figure}>
        burst {burst.toLocaleString('en')}
      </Text>
    </>
  );
}

export function Expiry({ at }: { at: string | null }) {
  const now = useNow(30_000);
  if (at === null) return 'Never';
  const remainingMs = Date.parse(at) - now;
  if (remainingMs <= 0) {
    return (
      <Text span inherit c="red" fw={600}>
        Expired <RelativeTime at={at} />
      </Text>
    );
  }
  return (
    <Text span inherit {...(remainingMs < SOON_MS && { c: 'orange', fw: 600 })}>
      {remainingMs < SOON_MS ? <RelativeTime at={at} /> : <Day at={at} />}
    </Text>
  );
}

export function LastUse({ at }: { at: string | null }) {
  return at === null ? (
    <Text span inherit c="dimmed">
      Never
    </Text>
  ) : (
    <RelativeTime at={at} />
  );
}
