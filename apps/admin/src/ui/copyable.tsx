import { Box, Button, Group, Text } from '@mantine/core';
import { useClipboard } from '@mantine/hooks';
import { IconCheck, IconCopy } from '@tabler/icons-react';
import classes from './copyable.module.css';

interface CopyableProps {
  label: string;
  text: string;
  /** Of the button, as "Copy" alone would not say what. */
  copyLabel: string;
  /** Stands out and takes the focus. */
  prominent?: boolean;
}

export function Copyable({ label, text, copyLabel, prominent = false }: CopyableProps) {
  const { copy, copied, error } = useClipboard({ timeout: 2500 });
  return (
    <Box>
      <Group justify="space-between" mb={6}>
        <Text size="sm" fw={500}>
          {label}
        </Text>
        <Button
          size="compact-sm"
          w={100}
          variant={prominent ? 'filled' : 'default'}
          leftSection={copied ? <IconCheck size={15} /> : <IconCopy size={15} />}
          onClick={() => copy(text)}
          autoFocus={prominent}
          aria-label={copied ? 'Copied' : copyLabel}
        >
          {copied ? 'Copied' : 'Copy'}
        </Button>
      </Group>
      <code className={classes.text}>{text}</code>
      {/* Outside secure contexts (https, localhost) a page has no clipboard. */}
      <Text size="xs" c="red" role="status">
        {error !== null && 'The browser does not let this page copy: click the text to select it, then press Ctrl+C.'}
      </Text>
    </Box>
  );
}
