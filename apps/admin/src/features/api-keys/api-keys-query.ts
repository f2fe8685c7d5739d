import { type ApiKey, apiKeyListSchema, createdApiKeySchema, type CreateApiKeyRequest } from '@cache-system/contracts';
import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query';
import { session } from '../session/session';

const PATH = '/v1/auth/api-keys';

export const apiKeysQuery = queryOptions({
  queryKey: ['api-keys'],
  queryFn: ({ signal }) => everyPage(signal),
});

async function everyPage(signal: AbortSignal): Promise<ApiKey[]> {
  const apiKeys: ApiKey[] = [];
  for (let path = PATH; ;) {
    const page = await session.request(path, { response: apiKeyListSchema, signal });
    apiKeys.push(...page.api_keys);
    if (page.cursor === null) return apiKeys;
    path = `${PATH}?cursor=${encodeURIComponent(page.cursor)}`;
  }
}

export function useCreateApiKey() {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (body: CreateApiKeyRequest) =>
      session.request(PATH, { method: 'POST', body, response: createdApiKeySchema }),
    onSuccess: () => queryClient.invalidateQueries(apiKeysQuery),
    // The answer holds the key itself: it goes with the dialog that shows it.
    gcTime: 0,
  });
}

export function useRevokeApiKey() {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (keyId: string) => session.request(`${PATH}/${encodeURIComponent(keyId)}`, { method: 'DELETE' }),
    // After a failure too: the key may be gone already.
    onSettled: () => queryClient.invalidateQueries(apiKeysQuery),
  });
}
