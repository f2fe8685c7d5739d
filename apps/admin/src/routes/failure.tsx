import { Anchor, Box, Button, Text, Title } from '@mantine/core';
import { useDocumentTitle } from '@mantine/hooks';
import { type ErrorComponentProps, Link, useRouter } from '@tanstack/react-router';
import { Problem } from '../features/session/problem';

export function FailurePage({ error }: ErrorComponentProps) {
  useDocumentTitle('Something is wrong · Cache System');
  const router = useRouter();
  return (
    <Box component="main" maw={480} mx="auto" px="md" pt="18vh">
      <Problem error={error}>
        <Button size="xs" color="red" variant="light" mt="sm" onClick={() => void router.invalidate()}>
          Try again
        </Button>
      </Problem>
    </Box>
  );
}

export function NotFoundPage() {
  useDocumentTitle('No such page · Cache System');
  return (
    <Box component="main" maw={480} mx="auto" px="md" pt="18vh" ta="center">
      <Title order={1}>There is no such page</Title>
      <Text mt="sm">
        <Anchor component={Link} to="/">
          Go to the overview
        </Anchor>
      </Text>
    </Box>
  );
}
