import { type Service, startService } from './support/service.js';
import { expectError } from './support/expectations.js';

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

describe('the admin app', () => {
  const get = (path: string) => service.client.with({}).get(path);

  test('is a page at /admin, and at every path below that is no file', async () => {
    const bare = await get('/admin');
    expect(bare.status).toBe(302);
    expect(bare.headers['location']).toBe('/admin/');
    const page = await get('/admin/');
    expect(page.headers['content-type']).toMatch(/^text\/html/);
    for (const path of ['/admin/api-keys', '/admin/api-keys/key_1', '/admin/index.html']) {
      expect((await get(path)).text).toBe(page.text);
    }
  });

  test('loads nothing from elsewhere, and its files may be kept', async () => {
    const page = await get('/admin/');
    const references = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, reference]) => reference!);
    expect(references.length).toBeGreaterThan(2);
    for (const reference of references) {
      expect(reference).toMatch(/^\/admin\//);
      const { status, headers } = await get(reference);
      expect({ reference, status }).toEqual({ reference, status: 200 });
      expect(headers['content-type']).not.toMatch(/^text\/html/);
      expect(headers['cache-control']).toBe(
        reference.startsWith('/admin/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
      );
    }
  });

  test('may run nothing but its own', async () => {
    const { headers } = await get('/admin/');
    expect(headers['content-security-policy']).toMatch(
      /default-src 'none'; ?script-src 'self';.*frame-ancestors 'none'/,
    );
    expect(headers).toMatchObject({
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-cache',
    });
  });

  test.each(['/admin/assets/index-00000000.js', '/admin/assets/', '/admin/assets/..%2f..%2fpackage.json'])(
    'has no %s',
    async (path) => {
      expectError(await get(path), 404, 'ROUTE_NOT_FOUND');
    },
  );

  test.each(['/admin/../package.json', '/admin/%2e%2e/package.json', '/admin/..%2fpackage.json', '/admin/%00'])(
    'shows no file from elsewhere at %s',
    async (path) => {
      const { status, text } = await get(path);
      expect(status).toBeLessThan(500);
      expect(text).not.toContain('"dependencies"');
    },
  );
});
