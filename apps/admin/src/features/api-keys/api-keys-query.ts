import { apiKeyListSchema, createdApiKeySchema, type CreateApiKeyRequest } from '@cache-system/contracts';
import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query';
import { session } from '../session/session';

const PATH = '/v1/auth/api-keys';

export const apiKeysQuery = queryOptions({
  queryKey: ['api-keys'],
  queryFn: async ({ signal }) => (await session.request(PATH, { response: apiKeyListSchema, signal })).api_keys,
});

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
