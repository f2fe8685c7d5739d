import { Alert, Box, Group, Text, Title } from '@mantine/core';
import { useDocumentTitle } from '@mantine/hooks';
import { getRouteApi } from '@tanstack/react-router';
import { LoginForm } from '../features/session/login-form';
import { ColorSchemeControl } from '../ui/color-scheme-control';
import { Logo } from '../ui/logo';
import classes from './login.module.css';

const route = getRouteApi('/login');

export function LoginPage() {
  useDocumentTitle('Sign in · Cache System');
  const { next = '/', ended = false } = route.useSearch();
  const navigate = route.useNavigate();
  return (
    <Box component="main" className={classes.page}>
      <Box className={classes.corner}>
        <ColorSchemeControl />
      </Box>
      <Box className={classes.column}>
        <Group gap="sm" justify="center" mb="xl">
          <Logo size={36} />
          <Text fw={650} fz="xl">
            Cache System
          </Text>
        </Group>
        <Box className={`surface ${classes.card}`}>
          <Title order={1} mb={4}>
            Sign in
          </Title>
          <Text c="dimmed" mb="lg">
            With your administrator account
          </Text>
          {ended && (
            <Alert color="orange" variant="light" mb="md">
              Your session has ended. Please sign in again.
            </Alert>
          )}
          <LoginForm onLogin={() => navigate({ to: next, replace: true })} />
        </Box>
      </Box>
    </Box>
  );
}
