import { type CreateApiKeyRequest, type CreatedApiKey, type Grant, TIERS, type Tier } from '@cache-system/contracts';
import { Button, Group, MultiSelect, Select, SimpleGrid, Stack, TagsInput, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { formatDay } from '../../ui/time';
import { useNow } from '../../ui/use-now';
import { useIdentity } from '../session/identity';
import { explain, Problem } from '../session/problem';
import { useCreateApiKey } from './api-keys-query';
import { fieldErrors } from './field-errors';
import { grantable, meaningOf } from './grants';

const DAY_SECONDS = 86_400;
const NEVER = 'never';
const EXPIRIES = [
  { value: String(DAY_SECONDS), label: '1 day' },
  { value: String(7 * DAY_SECONDS), label: '7 days' },
  { value: String(30 * DAY_SECONDS), label: '30 days' },
  { value: String(90 * DAY_SECONDS), label: '90 days' },
  { value: String(365 * DAY_SECONDS), label: '1 year' },
  { value: NEVER, label: 'Never' },
];

interface Values {
  name: string;
  permissions: Grant[];
  expires_in: string;
  namespace: string;
  key_prefixes: string[];
  /** null: the default of the server. */
  tier: Tier | null;
}

const FIELDS = ['name', 'permissions', 'expires_in', 'namespace', 'key_prefixes', 'tier'] as const;

interface CreateFormProps {
  onCreated: (apiKey: CreatedApiKey) => void;
  onCancel: () => void;
}

export function CreateForm({ onCreated, onCancel }: CreateFormProps) {
  const identity = useIdentity();
  const create = useCreateApiKey();
  const choices = grantable(identity.permissions);
  const form = useForm<Values>({
    initialValues: {
      name: '',
      permissions: [],
      expires_in: String(90 * DAY_SECONDS),
      namespace: identity.namespace,
      key_prefixes: [],
      tier: null,
    },
    // Only what can be said at once: the rules are the server's, and so are the reasons it gives.
    validate: {
      name: (name) => (name.trim() === '' ? 'Give the key a name' : null),
      permissions: (permissions) => (permissions.length === 0 ? 'Choose at least one permission' : null),
    },
  });

  const submit = (values: Values) =>
    create.mutate(toRequest(values), {
      onSuccess: onCreated,
      onError: (error) => {
        const { byField } = fieldErrors(error, FIELDS);
        form.setErrors(byField);
        const first = FIELDS.find((field) => field in byField);
        if (first !== undefined) form.getInputNode(first)?.focus();
      },
    });

  return (
    <form
      noValidate
      onSubmit={form.onSubmit(submit, (errors) => form.getInputNode(Object.keys(errors)[0] ?? '')?.focus())}
    >
      <Stack gap="md">
        <TextInput
          label="Name"
          description="What will use the key"
          placeholder="Production web shop"
          autoComplete="off"
          data-autofocus
          withAsterisk
          {...form.getInputProps('name')}
        />
        <MultiSelect
          label="Permissions"
          description="Those that you hold yourself"
          placeholder={form.values.permissions.length === 0 ? 'Choose' : ''}
          data={choices}
          renderOption={({ option }) => (
            <Group justify="space-between" flex={1} gap="xs">
              <Text size="sm" ff="monospace">
                {option.value}
              </Text>
              <Text size="xs" c="dimmed">
                {meaningOf(option.value)}
              </Text>
            </Group>
          )}
          searchable
          clearable
          hidePickedOptions
          withAsterisk
          maxDropdownHeight={280}
          {...form.getInputProps('permissions')}
        />
        <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="md">
          <Select
            label="Expires after"
            description={<ExpiryDay expiresIn={form.values.expires_in} />}
            data={EXPIRIES}
            allowDeselect={false}
            {...form.getInputProps('expires_in')}
          />
          <Select
            label="Tier"
            description="Sets the rate limit"
            placeholder="Default of the server"
            data={TIERS.map((tier) => ({ value: tier, label: tier.charAt(0).toUpperCase() + tier.slice(1) }))}
            clearable
            {...form.getInputProps('tier')}
          />
        </SimpleGrid>
        <TextInput
          label="Namespace"
          description="Entries of different namespaces never meet"
          autoComplete="off"
          {...form.getInputProps('namespace')}
        />
        <TagsInput
          label="Key prefixes"
          description="Only cache keys that start with one of these; leave empty for all. Press Enter after each."
          placeholder={form.values.key_prefixes.length === 0 ? 'user:' : ''}
          acceptValueOnBlur
          {...form.getInputProps('key_prefixes')}
        />
        {create.isError && <CreateProblem error={create.error} />}
        <Group justify="flex-end" gap="sm">
          <Button variant="default" onClick={onCancel}>
            Cancel
          </Button>
          <Button type="submit" loading={create.isPending}>
            Create the key
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function ExpiryDay({ expiresIn }: { expiresIn: string }) {
  const now = useNow(60_000);
  return expiresIn === NEVER ? 'Works until it is revoked' : `On ${formatDay(now + Number(expiresIn) * 1000)}`;
}

/** What the fields cannot show. */
function CreateProblem({ error }: { error: Error }) {
  const { byField, others } = fieldErrors(error, FIELDS);
  if (others.length > 0) return <Problem error={error} text={others.join('; ')} />;
  if (Object.keys(byField).length > 0) return <Problem error={error} text="Please correct the marked fields." />;
  return <Problem error={error} text={explain(error)} />;
}

function toRequest(values: Values): CreateApiKeyRequest {
  const { name, permissions, expires_in: expiresIn, namespace, key_prefixes: prefixes, tier } = values;
  return {
    name: name.trim(),
    permissions,
    ...(expiresIn !== NEVER && { expires_in: Number(expiresIn) }),
    ...(namespace.trim() !== '' && { namespace: namespace.trim() }),
    ...(prefixes.length > 0 && { key_prefixes: prefixes }),
    ...(tier !== null && { tier }),
  };
}
