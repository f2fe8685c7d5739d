import { Box, Group, Text, Title } from '@mantine/core';
import { useDocumentTitle } from '@mantine/hooks';
import type { ReactNode } from 'react';

const HEADING_ID = 'page-heading';

/** Where the focus goes when what had it is gone, so that keyboards and screen readers go on from the top of the page. */
export function focusHeading(): void {
  document.getElementById(HEADING_ID)?.focus();
}

interface PageHeaderProps {
  title: string;
  description: string;
  children?: ReactNode;
}

export function PageHeader({ title, description, children }: PageHeaderProps) {
  useDocumentTitle(`${title} · Cache System`);
  return (
    <Group justify="space-between" align="flex-end" gap="md" mb="lg">
      <Box>
        <Title order={1} id={HEADING_ID} tabIndex={-1}>
          {title}
        </Title>
        <Text c="dimmed" mt={4}>
          {description}
        </Text>
      </Box>
      {children}
    </Group>
  );
}
