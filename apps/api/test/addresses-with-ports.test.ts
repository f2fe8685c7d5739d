import { entryPath } from './support/client.js';
import { readAudit } from './support/audit.js';
import { adminClient } from './support/credentials.js';
import { expectError } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { type Service, startService } from './support/service.js';

/** As Azure Application Gateway and IIS write it into `X-Forwarded-For`: a new port with every connection. */
describe('a client whose proxy tells its port as well', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ SERVER__TRUSTED_PROXIES: '["127.0.0.1"]' });
  });
  afterAll(() => service.stop());

  const from = (address: string, headers = {}) => service.client.with({ ...headers, 'x-forwarded-for': address });

  test('may use a key that is for its address', async () => {
    const { api_key: key } = await mintKey(service.client, { allowed_ips: ['203.0.113.0/24', '2001:db8::/32'] });
    const read = (address: string) => from(address, { 'x-api-key': key }).get(entryPath('absent'));
    expect((await read('203.0.113.7:51234')).status).toBe(404);
    expect((await read('[2001:db8::7]:51234')).status).toBe(404);
    const refused = expectError(await read('198.51.100.7:51234'), 403, 'INSUFFICIENT_PERMISSIONS');
    expect(refused).toMatchObject({ refused_address: '198.51.100.7' });
  });

  test('is slowed down by its failed logins, whatever the port, and named without it', async () => {
    const guess = (port: number) =>
      from(`203.0.113.7:${port}`).post('/v1/auth/login', { email: 'x@example.com', password: 'a guess' });
    const statuses: number[] = [];
    for (let port = 40_000; port < 40_007; port++) statuses.push((await guess(port)).status);
    expect(statuses).toContain(429);
    const { entries } = await readAudit(await adminClient(service), { action: 'user.login', outcome: 'refused' });
    expect(new Set(entries.map(({ actor }) => actor.address))).toEqual(new Set(['203.0.113.7']));
  });
});
