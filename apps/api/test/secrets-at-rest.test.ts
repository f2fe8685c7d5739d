import { createTemporaryFolder } from '../../../tools/harness/tied-process.mjs';
import { logIn } from './support/credentials.js';
import { filesBelow, postgresDump } from './support/dumps.js';
import { mintKey } from './support/keys.js';
import { startService, STORES } from './support/service.js';

test('of passwords, keys and tokens only hashes are stored, and none of them is in the log', async () => {
  const folder = createTemporaryFolder('secrets');
  const service = await startService({ DATA_DIR: folder.path, LOG_LEVEL: 'trace' });
  const key = await mintKey(service.client, { name: 'the-name-of-a-key' });
  const pair = await logIn(service);
  const anyone = service.client.with({});
  const next = await anyone.post('/v1/auth/refresh', { refresh_token: pair.refresh_token });
  await anyone.get(`/v1/cache/k?api_key=${key.api_key}`);
  await anyone.get('/v1/cache/k', { headers: { authorization: `Bearer ${pair.access_token}` } });
  const stored = [STORES === 'real' ? await postgresDump(service.stores['DATABASE_URL']!) : ''];
  expect(await service.stop().then(() => service.api.process.exitCode)).toBe(0);
  stored.push(...filesBelow(folder.path));
  folder.remove();

  const found = (text: string) => stored.some((each) => each.includes(text));
  // What must be there is: the search looks at the right place.
  for (const text of ['the-name-of-a-key', service.api.adminEmail, '$argon2id$'])
    expect({ text, found: found(text) }).toMatchObject({ found: true });
  const { access_token: access, refresh_token: refresh } = next.json as typeof pair;
  const secrets = [
    key.api_key,
    service.api.apiKey,
    service.api.adminPassword,
    pair.refresh_token,
    refresh,
    pair.access_token,
    access,
  ];
  for (const secret of secrets) {
    // A part would be enough to go on; the hint of a key is meant to be there.
    for (const part of [
      secret,
      secret.slice(12, 44),
      Buffer.from(secret).toString('base64'),
      Buffer.from(secret).toString('hex'),
    ]) {
      expect(found(part)).toBe(false);
      expect(service.api.output()).not.toContain(part);
    }
  }
});
