import type { LoginRequest } from '@cache-system/contracts';
import { Button, PasswordInput, Stack, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation } from '@tanstack/react-query';
import { ApiError } from './http';
import { Problem } from './problem';
import { session } from './session';

export function LoginForm({ onLogin }: { onLogin: () => Promise<void> }) {
  const form = useForm<LoginRequest>({
    mode: 'uncontrolled',
    initialValues: { email: '', password: '' },
    validate: {
      email: (email) => (email.trim() === '' ? 'Enter your e-mail address' : null),
      password: (password) => (password === '' ? 'Enter your password' : null),
    },
  });
  const login = useMutation({
    mutationFn: async ({ email, password }: LoginRequest) => {
      await session.login({ email: email.trim(), password });
      await onLogin();
    },
    onError: () => form.getInputNode('password')?.focus(),
  });

  return (
    <form noValidate onSubmit={form.onSubmit((credentials) => login.mutate(credentials))}>
      <Stack gap="md">
        <TextInput
          label="E-mail"
          type="email"
          name="email"
          autoComplete="username"
          size="md"
          autoFocus
          key={form.key('email')}
          {...form.getInputProps('email')}
        />
        <PasswordInput
          label="Password"
          name="password"
          autoComplete="current-password"
          size="md"
          visibilityToggleButtonProps={{ 'aria-label': 'Show the password' }}
          key={form.key('password')}
          {...form.getInputProps('password')}
        />
        <Button type="submit" size="md" mt="xs" fullWidth loading={login.isPending}>
          Sign in
        </Button>
        {login.isError && <LoginProblem error={login.error} />}
      </Stack>
    </form>
  );
}

function LoginProblem({ error }: { error: Error }) {
  // A malformed address is one more way of giving the wrong one.
  const rejected = error instanceof ApiError && (error.status === 400 || error.status === 401);
  return <Problem error={error} {...(rejected && { text: 'The e-mail address or the password is not right.' })} />;
}
