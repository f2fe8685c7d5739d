import { type TokenPair, tokenPairSchema } from '@cache-system/contracts';
import type { Client } from './client.js';
import type { Service } from './service.js';

export async function logIn({ api, client }: Service): Promise<TokenPair> {
  const credentials = { email: api.adminEmail, password: api.adminPassword };
  return tokenPairSchema.parse((await client.with({}).post('/v1/auth/login', credentials)).json);
}

/** The admin, as somebody who logged in. */
export async function adminClient(service: Service): Promise<Client> {
  const { access_token: token } = await logIn(service);
  return service.client.with({ authorization: `Bearer ${token}` });
}
