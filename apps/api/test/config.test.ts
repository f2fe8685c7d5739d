import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { createTemporaryFolder } from '../../../tools/harness/tied-process.mjs';
import { entryPath } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { expectError } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { expectRefusal, refusedStart } from './support/process.js';
import { type Service, startService } from './support/service.js';

let folder: ReturnType<typeof createTemporaryFolder>;
beforeAll(() => {
  folder = createTemporaryFolder('config');
});
afterAll(() => folder.remove());

function file(name: string, text: string): string {
  const written = path.join(folder.path, name);
  writeFileSync(written, text);
  return written;
}

/** Runs a check against a service with these settings. */
async function withService(env: Record<string, string>, check: (service: Service) => Promise<void>): Promise<void> {
  const service = await startService(env);
  try {
    await check(service);
  } finally {
    await service.stop();
  }
}

describe('the configuration', () => {
  const YAML = `
rate_limits:
  default_tier: pro
  tiers:
    pro: { requests_per_hour: 7200, burst_size: 77 }
cache:
  limits: { max_value_bytes: 100 }
`;
  const TOML = `
[rate_limits]
default_tier = "pro"
[rate_limits.tiers.pro]
requests_per_hour = 7200
burst_size = 77
[cache.limits]
max_value_bytes = 100
`;
  const JSON_TEXT = JSON.stringify({
    rate_limits: { default_tier: 'pro', tiers: { pro: { requests_per_hour: 7200, burst_size: 77 } } },
    cache: { limits: { max_value_bytes: 100 } },
  });

  test.each([
    ['settings.yaml', YAML],
    ['settings.toml', TOML],
    ['settings.json', JSON_TEXT],
  ])('comes from a file, %s, and is in force', async (name, text) => {
    await withService({ CONFIG_FILE: file(name, text) }, async ({ client }) => {
      const key = await mintKey(client);
      expect(key).toMatchObject({ tier: 'pro', rate_limit: { requests_per_minute: 120, burst_size: 77 } });
      expect((await client.put(entryPath('fits'), { value: 'x'.repeat(98) })).status).toBe(201);
      expectError(await client.put(entryPath('large'), { value: 'x'.repeat(99) }), 413, 'PAYLOAD_TOO_LARGE');
    });
  });

  test('is taken from the environment before the file, and from the file before the defaults', async () => {
    const env = {
      CONFIG_FILE: file('precedence.yml', YAML),
      RATE_LIMITS__TIERS__PRO__BURST_SIZE: '5',
      RATE_LIMITS__DEFAULT_TIER: 'pro',
      CACHE__LAYERS__L2__TTL_DEFAULT: '120',
    };
    await withService(env, async ({ client }) => {
      const key = await mintKey(client);
      expect(key.rate_limit).toEqual({ requests_per_minute: 120, burst_size: 5 });
      const enterprise = await mintKey(client, { tier: 'enterprise' });
      expect(enterprise.rate_limit).toEqual({ requests_per_minute: 600_000, burst_size: 20_000 });
      const { json } = await client.put(entryPath('k'), { value: 1 });
      const { created_at: from, expires_at: to } = (json as { metadata: Record<string, string> }).metadata;
      expect(Date.parse(to!) - Date.parse(from!)).toBe(120_000);
    });
  });

  test('with mistakes refuses the start and lists each with its path', async () => {
    const CONFIG_FILE = file(
      'wrong.yaml',
      `
cache:
  layers:
    l1: { size_mb: "256", colour: blue }
    l9: {}
rate_limits: { default_tier: gold }
surprise: true
`,
    );
    const env = { CONFIG_FILE, SERVER__DRAIN_TIMEOUT: 'soon', SECURITY__AUTHENTICATION__METHODS: '[]' };
    const refusal = await refusedStart(env);
    const [title = '', ...lines] = refusal.lines;
    const sorted = { ...refusal, problems: refusal.problems.toSorted(), lines: [title, ...lines.toSorted()] };
    expectRefusal(sorted, [
      /^config cache\.layers\.l1\.size_mb: .*number/,
      /^config cache\.layers\.l1: .*"colour"/,
      /^config cache\.layers: .*"l9"/,
      /^config rate_limits\.default_tier: .*"enterprise"/,
      /^config security\.authentication\.methods: .*1/,
      /^config server\.drain_timeout: .*number/,
      /^config: .*"surprise"/,
    ]);
  });

  test.each([
    ['that is not there', path.join('/', 'nowhere', 'settings.yaml'), /^CONFIG_FILE: .*ENOENT/],
    ['that is no YAML', 'broken.yaml:a: [1', /^CONFIG_FILE: .*broken\.yaml: /],
    ['that is no TOML', 'broken.toml:a = ', /^CONFIG_FILE: .*broken\.toml: /],
    ['that is a list', 'list.json:[1]', /^CONFIG_FILE: .*must hold a table of settings/],
  ])('in a file %s refuses the start', async (_, given, problem) => {
    const [name = '', text] = given.split(/:(.*)/s);
    const { exitCode, problems } = await refusedStart({ CONFIG_FILE: text === undefined ? name : file(name, text) });
    expect(problems).toEqual([expect.stringMatching(problem)]);
    expect(exitCode).toBe(1);
  });
});

describe('a way to authenticate that is switched off', () => {
  test('is refused: API keys in the query', async () => {
    await withService({ SECURITY__AUTHENTICATION__API_KEY_IN_QUERY: 'false' }, async ({ client, api }) => {
      expectError(await client.with({}).get(`/v1/auth/me?api_key=${api.apiKey}`), 401, 'AUTHENTICATION_FAILED');
      expect((await client.get('/v1/auth/me')).status).toBe(200);
    });
  });

  test('is refused: API keys', async () => {
    await withService({ SECURITY__AUTHENTICATION__METHODS: '["jwt"]' }, async (service) => {
      expectError(await service.client.get('/v1/auth/me'), 401, 'AUTHENTICATION_FAILED');
      const bearer = { authorization: `Bearer ${service.api.apiKey}` };
      expectError(await service.client.with(bearer).get('/v1/auth/me'), 401, 'AUTHENTICATION_FAILED');
      expect((await (await adminClient(service)).get('/v1/auth/me')).status).toBe(200);
    });
  });

  test('is refused: access tokens, which nobody gets then', async () => {
    await withService({ SECURITY__AUTHENTICATION__METHODS: '["api_key"]' }, async (service) => {
      const { adminEmail: email, adminPassword: password } = service.api;
      expectError(
        await service.client.with({}).post('/v1/auth/login', { email, password }),
        401,
        'AUTHENTICATION_FAILED',
      );
      expect((await service.client.get('/v1/auth/me')).status).toBe(200);
    });
  });
});
