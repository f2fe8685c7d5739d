import { type Answer, entryPath } from './support/client.js';
import { expectError } from './support/expectations.js';
import { type Operation, pathToNothing, readOperations } from './support/openapi.js';
import { exchange, request } from './support/raw-http.js';
import { refusedStart } from './support/process.js';
import { type Service, startService } from './support/service.js';

const ALLOWED = 'https://app.example.com';
const LOCAL = 'http://localhost:5173';

let closed: Service;
let open: Service;
let operations: Operation[];
beforeAll(async () => {
  [closed, open] = await Promise.all([
    startService(),
    startService({ SERVER__CORS__ALLOWED_ORIGINS: JSON.stringify([ALLOWED, LOCAL]) }),
  ]);
  operations = await readOperations(closed.client);
});
afterAll(() => Promise.all([closed.stop(), open.stop()]));

const corsHeaders = ({ headers }: Answer) => Object.keys(headers).filter((name) => name.startsWith('access-control-'));
const preflight = (service: Service, origin: string) =>
  service.client.with({}).send('OPTIONS', entryPath('k'), {
    headers: { origin, 'access-control-request-method': 'PUT', 'access-control-request-headers': 'x-api-key' },
  });

describe('pages of other sites', () => {
  test('are kept out where none is named', async () => {
    for (const origin of [ALLOWED, 'null', closed.api.url]) {
      const headers = { origin };
      const answers = [
        await closed.client.get(entryPath('k'), { headers }),
        await closed.client.get('/health/live', { headers }),
        await closed.client.put(entryPath('k'), { value: 1 }, { headers }),
        await closed.client.get(entryPath('k'), { headers }),
      ];
      for (const answer of answers) expect(corsHeaders(answer)).toEqual([]);
      expectError(await preflight(closed, origin), 405, 'METHOD_NOT_ALLOWED');
    }
  });

  test.each([ALLOWED, LOCAL])(
    'of %s, which is named, may call and read everything, without cookies',
    async (origin) => {
      const asked = await preflight(open, origin);
      expect(asked.status).toBe(204);
      expect(asked.headers).toMatchObject({
        'access-control-allow-origin': origin,
        'access-control-allow-methods': 'GET, HEAD, PUT, POST, PATCH, DELETE',
        'access-control-allow-headers': 'Authorization, *',
        'x-request-id': expect.any(String) as string,
        'x-response-time': expect.stringMatching(/^\d+ms$/) as string,
        vary: 'Origin',
      });
      await open.client.put(entryPath('there'), { value: 1 });
      const headers = { origin };
      const answers = [
        asked,
        await open.client.get(entryPath('there'), { headers }),
        await open.client.get(entryPath('absent'), { headers }),
        await open.client.put(entryPath('there'), { value: 2 }, { headers }),
        await open.client.with({}).get(entryPath('there'), { headers }),
        await open.client.get('/health/live', { headers }),
        await open.client.get('/docs-json', { headers }),
      ];
      expect(answers.map(({ status }) => status)).toEqual([204, 200, 404, 200, 401, 200, 200]);
      for (const answer of answers) {
        expect(answer.headers['access-control-allow-origin']).toBe(origin);
        expect(String(answer.headers['vary'])).toContain('Origin');
        expect(answer.headers).not.toHaveProperty('access-control-allow-credentials');
      }
      const plain = await open.client.get(entryPath('there'));
      expect([corsHeaders(plain), plain.json]).toEqual([[], { key: 'there', value: 2 }]);
    },
  );

  test.each([
    'null',
    '*',
    'https://app.example.com.evil.example',
    'https://evil-app.example.com',
    'https://evil.example/https://app.example.com',
    'https://app.example.com:8443',
    'https://app.example.com:443',
    'http://app.example.com',
    'HTTPS://APP.EXAMPLE.COM',
    'https://App.example.com',
    'https://app.example.com/',
    'https://app.example.com.',
    'https://user@app.example.com',
    'https://app.example.com https://evil.example',
    'http://localhost',
    'http://127.0.0.1:5173',
  ])('of %s, which is not, are kept out', async (origin) => {
    expectError(await preflight(open, origin), 405, 'METHOD_NOT_ALLOWED');
    const answer = await open.client.get(entryPath('absent'), { headers: { origin } });
    expect(corsHeaders(answer)).toEqual([]);
    expect(String(answer.headers['vary'])).toContain('Origin');
  });

  test.each([
    '*',
    'null',
    'https://app.example.com/',
    'https://APP.example.com',
    'https://*.example.com',
    'app.example.com',
  ])('cannot be let in by a pattern: %j is no origin and refuses the start', async (origin) => {
    const { problems } = await refusedStart({ SERVER__CORS__ALLOWED_ORIGINS: JSON.stringify([origin]) });
    expect(problems).toEqual([expect.stringMatching(/^config server\.cors\.allowed_origins\.0: must be an origin/)]);
  });
});

describe('what a browser adds by itself opens nothing', () => {
  test('no answer sets a cookie, and none is a credential', async () => {
    const { client, api } = closed;
    const anyone = client.with({ cookie: `x-api-key=${api.apiKey}; session=1; token=${api.apiKey}` });
    const login = await anyone.post('/v1/auth/login', { email: api.adminEmail, password: api.adminPassword });
    expect(login.status).toBe(200);
    const answers = [login, await anyone.get('/admin/'), await anyone.get('/docs')];
    for (const operation of operations) {
      const path = pathToNothing(operation);
      answers.push(await client.send(operation.method, path));
      const answer = await anyone.send(operation.method, path);
      answers.push(answer);
      if (operation['x-permission'] !== 'public')
        expect({ path, status: answer.status }).toEqual({ path, status: 401 });
    }
    for (const { headers } of answers) expect(headers).not.toHaveProperty('set-cookie');
  });

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])(
    'a body of %s, which a form can send anywhere, is 415 wherever a body changes something',
    async (type) => {
      const changing = operations.filter(({ requestBody, path }) => requestBody && !path.startsWith('/object/'));
      expect(changing.length).toBeGreaterThan(10);
      for (const operation of changing) {
        const answer = await closed.client.send(operation.method, pathToNothing(operation), {
          body: '{"email":"a@b.co","password":"x"}',
          headers: { 'content-type': type },
        });
        expect({ path: operation.path, status: answer.status }).toEqual({ path: operation.path, status: 415 });
      }
    },
  );
});

describe('pages', () => {
  test.each(['/admin/', '/admin/any', '/docs', '/docs/', '/docs/index.html'])(
    '%s runs nothing but what comes from here, in no frame',
    async (path) => {
      const { headers, text } = await closed.client.with({}).get(path);
      const policy = String(headers['content-security-policy']);
      const sources = new Map(
        policy.split(/; ?/).map((part) => [part.split(' ')[0], part.split(' ').slice(1).join(' ')]),
      );
      expect(sources.get('default-src')).toBe("'none'");
      expect(sources.get('script-src')).toBe("'self'");
      expect(sources.get('base-uri')).toBe("'none'");
      expect(sources.get('frame-ancestors')).toBe("'none'");
      expect(sources.get('connect-src')).toBe("'self'");
      expect(headers).toMatchObject({
        'referrer-policy': 'no-referrer',
        'x-frame-options': 'DENY',
        'x-content-type-options': 'nosniff',
      });
      expect(headers).not.toHaveProperty('strict-transport-security');
      expect(text.replace(/<script[^>]*\bsrc=[^>]*>\s*<\/script>/g, '')).not.toMatch(/<script|\son\w+=|javascript:/i);
    },
  );

  test('stored bodies are shown by a browser without running anything of them', async () => {
    const page = '<script>alert(1)</script>';
    await closed.client.put('/object/page', page, { headers: { 'content-type': 'text/html' } });
    const answer = await closed.client.get('/object/page');
    expect(answer.text).toBe(page);
    expect(answer.headers).toMatchObject({
      'content-security-policy': "default-src 'none'; sandbox",
      'x-content-type-options': 'nosniff',
    });
    await closed.client.put(entryPath(page), { value: page });
    for (const path of [entryPath(page), `/v1/cache?prefix=${encodeURIComponent('<')}`, '/v1/nowhere<script>']) {
      expect(String((await closed.client.get(path)).headers['content-type'])).toMatch(/^application\/json/);
    }
  });
});

describe('what the service tells of itself', () => {
  test('is no software and no version, in whatever answer', async () => {
    const { client } = closed;
    const answers = [
      await client.get('/health/live'),
      await client.get(entryPath('absent')),
      await client.put(entryPath('k'), '{'),
      await client.get('/v1/nowhere'),
      await client.get('/admin/'),
      await client.with({}).get(entryPath('k')),
    ];
    for (const { headers, text } of answers) {
      for (const name of ['server', 'x-powered-by', 'via']) expect(headers).not.toHaveProperty(name);
      expect(text).not.toMatch(/fastify|nestjs|node_modules|\.[jt]s:\d+|\\n +at /i);
    }
  });

  test.each(['TRACE', 'TRACK'])('%s gives nothing back of what was sent', async (method) => {
    const sent = request(`${method} /v1/cache/k HTTP/1.1`, 'Host: x', 'X-Secret: mirrored', 'Connection: close');
    const answer = await exchange(closed, sent);
    expect(answer).toMatch(/^HTTP\/1\.1 (?:400|404|405) /);
    expect(answer).not.toContain('mirrored');
  });

  test('in production has no page that describes the API, unless that is wished', async () => {
    const secrets = {
      NODE_ENV: 'production',
      JWT_SECRET: 'b7Qx0mV2nRz8Ks4Lw6Tj1Yp9Hd3Fg5Ac',
      ADMIN_PASSWORD: 'hazel-ferry-copper-lantern-41',
    };
    const [quiet, wished] = await Promise.all([
      startService(secrets),
      startService({ ...secrets, SERVER__DOCS: 'true' }),
    ]);
    for (const path of ['/docs', '/docs/', '/docs-json', '/docs-yaml', '/docs/swagger-ui-init.js']) {
      expectError(await quiet.client.get(path), 404, 'ROUTE_NOT_FOUND');
    }
    expect((await wished.client.get('/docs')).status).toBe(200);
    await Promise.all([quiet.stop(), wished.stop()]);
  });
});
