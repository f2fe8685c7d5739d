import { type CreatedApiKey, expandGrants } from '@cache-system/contracts';
import { Alert, Button, Group, Stack, Text } from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import { Copyable } from '../../ui/copyable';

export function CreatedKey({ apiKey, onDone }: { apiKey: CreatedApiKey; onDone: () => void }) {
  return (
    <Stack gap="lg">
      <Alert color="orange" variant="light" icon={<IconAlertTriangle size={20} stroke={1.75} />}>
        <Text size="sm">
          Copy the key now and keep it safe. <b>It is not shown again</b>: only its hash is stored.
        </Text>
      </Alert>
      <Copyable label={apiKey.name} text={apiKey.api_key} copyLabel="Copy the key" prominent />
      <Copyable label="Try it" text={curlLine(apiKey)} copyLabel="Copy the command" />
      <Group justify="flex-end">
        <Button onClick={onDone}>I have kept the key</Button>
      </Group>
    </Stack>
  );
}

/** A call that the key is good for. */
function curlLine({ api_key: key, permissions, key_prefixes: prefixes }: CreatedApiKey): string {
  const granted = expandGrants(permissions);
  const entry = `/v1/cache/${encodeURIComponent(`${prefixes[0] ?? ''}hello`)}`;
  const curl = (path: string, options = '') =>
    `curl ${quote(location.origin + path)} -H ${quote(`X-API-Key: ${key}`)}${options}`;
  if (granted.has('cache:write')) {
    const json = `-H ${quote('Content-Type: application/json')} -d ${quote('{"value":"world"}')}`;
    return curl(entry, ` -X PUT ${json}`);
  }
  if (granted.has('cache:read')) return curl(entry);
  return curl(granted.has('monitor:read') ? '/v1/monitor/health' : '/v1/auth/me');
}

/** For a shell. encodeURIComponent leaves the apostrophe as it is. */
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
