import { type CreatedApiKey, createdApiKeySchema } from '@cache-system/contracts';
import type { Client } from './client.js';
import { expectExactly } from './expectations.js';

/** Makes an API key that may read and write the cache, or what `fields` say. */
export async function mintKey(maker: Client, fields: object = {}): Promise<CreatedApiKey> {
  const request = { name: 'a test', permissions: ['cache:read', 'cache:write'], ...fields };
  const answer = await maker.post('/v1/auth/api-keys', request);
  if (answer.status !== 201) throw new Error(`no key was made: ${answer.status} ${answer.text}`);
  return expectExactly(createdApiKeySchema, answer.json);
}
