import type { Browser, Page, Route } from 'playwright-core';
import { type ApiProcess, startApi } from '../../../tools/harness/api-process.mjs';
import { launchBrowser, openTab, type Tab, takeScreenshots } from './browser';

jest.setTimeout(120_000);

let api: ApiProcess;
let browser: Browser;
let tab: Tab;

beforeAll(async () => {
  [api, browser] = await Promise.all([startApi(), launchBrowser()]);
});

afterAll(async () => {
  await browser.close();
  await api.stop();
});

beforeEach(async () => {
  tab = await openTab(browser);
});

afterEach(() => tab.close());

it('lets_an_admin_see_the_health_and_make_use_and_revoke_a_key', async () => {
  const { page, problems } = tab;
  const answer = await page.goto(`${api.url}/admin`);
  const policy = answer?.headers()['content-security-policy'] ?? '';
  expect(policy).toContain("script-src 'self';");
  await page.getByRole('button', { name: 'Sign in' }).waitFor();
  expect(await page.title()).toBe('Sign in · Cache System');
  await takeScreenshots(page, 'login');

  await signIn(page);
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  expect(await page.title()).toBe('Overview · Cache System');
  await page.getByText('All systems are working').waitFor();
  for (const component of ['L1 cache', 'L2 cache', 'Database']) {
    await page.getByRole('article', { name: component }).getByText('Healthy').waitFor();
  }
  // A cache that nobody has read has no hit ratio.
  await page.getByText('No traffic yet').first().waitFor();
  await takeScreenshots(page, 'overview');

  await page.getByRole('link', { name: 'API keys' }).click();
  await page.getByRole('row', { name: /everything/ }).waitFor();
  expect(await page.title()).toBe('API keys · Cache System');
  await takeScreenshots(page, 'keys');

  await page.getByRole('button', { name: 'Create a key' }).click();
  await fillCreateForm(page, 'Web shop');
  await page.getByLabel('Key prefixes').first().fill('user:');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Create the key' }).click();
  await page.getByText('It is not shown again').waitFor();
  const key =
    (await page
      .getByRole('dialog')
      .getByText(/^ck_live_\S+$/)
      .textContent()) ?? '';
  await page.getByRole('button', { name: 'Copy the key' }).click();
  await page.getByRole('button', { name: 'Copied' }).waitFor();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(key);
  expect(await page.getByText(/^curl /).textContent()).toContain(`${api.url}/v1/cache/user%3Ahello`);
  await takeScreenshots(page, 'created');

  await page.getByRole('button', { name: 'I have kept the key' }).click();
  await page.getByRole('row', { name: /Web shop/ }).waitFor();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  expect(await page.content()).not.toContain(key);

  expect((await useKey(key, 'PUT')).status).toBe(201);
  const read = await useKey(key, 'GET');
  expect(await read.json()).toMatchObject({ key: 'user:x', value: 'hello' });

  await page.getByRole('button', { name: 'Revoke Web shop' }).click();
  await page.getByRole('dialog', { name: 'Revoke “Web shop”?' }).waitFor();
  await page.getByRole('button', { name: 'Revoke the key' }).click();
  await page.getByText('The key “Web shop” is revoked.').waitFor();
  await page.getByRole('row', { name: /Web shop/ }).waitFor({ state: 'detached' });
  expect((await useKey(key, 'GET')).status).toBe(401);

  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('button', { name: 'Sign in' }).waitFor();
  expect(problems).toEqual([]);
});

it('says_what_is_wrong_with_a_login_and_with_a_field', async () => {
  const { page } = tab;
  await page.goto(`${api.url}/admin/api-keys`);
  await signIn(page, 'not the password');
  await page.getByRole('alert').getByText('The e-mail address or the password is not right.').waitFor();

  await signIn(page);
  await page.getByRole('button', { name: 'Create a key' }).click();
  await fillCreateForm(page, 'Importer');
  await page.getByLabel('Namespace').fill('Not a namespace');
  await page.getByRole('button', { name: 'Create the key' }).click();
  await page.getByText(/^Must be 1 to 64 of a-z/).waitFor();
  expect(await page.getByLabel('Namespace').getAttribute('aria-invalid')).toBe('true');
});

it('stays_signed_in_over_reloads_and_when_several_requests_expire_at_once', async () => {
  const { page, problems } = tab;
  await page.goto(`${api.url}/admin/api-keys`);
  await signIn(page);
  for (const _ of [1, 2, 3]) {
    await page.getByRole('button', { name: 'Create a key' }).waitFor();
    await page.reload();
  }
  await page.getByRole('button', { name: 'Create a key' }).click();
  await fillCreateForm(page, 'Nightly job');
  expect(problems).toEqual([]);

  const refreshes: string[] = [];
  page.on('request', (request) => {
    if (request.url().endsWith('/v1/auth/refresh')) refreshes.push(request.url());
  });
  await spoilTogether(page, '**/v1/auth/api-keys', 2);
  // The list is read anew when somebody comes back to the tab.
  await page.evaluate(() => window.dispatchEvent(new Event('visibilitychange')));
  await page.getByRole('button', { name: 'Create the key' }).click();

  await page.getByText('It is not shown again').waitFor();
  await page.getByRole('button', { name: 'I have kept the key' }).click();
  await page.getByRole('row', { name: /Nightly job/ }).waitFor();
  expect(refreshes).toHaveLength(1);
});

// The last one: it ends the server.
it('says_that_the_figures_are_old_when_the_server_is_gone', async () => {
  const { page } = tab;
  await page.goto(`${api.url}/admin`);
  await signIn(page);
  await page.getByText('All systems are working').waitFor();
  await api.kill9();
  await page.getByText('The server has stopped answering').waitFor();
  await page.getByText(/What you see is from \d\d:\d\d:\d\d\./).waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await signIn(page);
  await page.getByRole('alert').getByText('The server does not answer.').waitFor();
});

async function signIn(page: Page, password = api.adminPassword): Promise<void> {
  await page.getByLabel('E-mail').fill(api.adminEmail);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

async function fillCreateForm(page: Page, name: string): Promise<void> {
  const dialog = page.getByRole('dialog', { name: 'Create an API key' });
  await dialog.getByRole('textbox', { name: 'Name', exact: true }).fill(name);
  await dialog.getByLabel('Permissions').first().click();
  await page.getByRole('option', { name: 'cache:read' }).click();
  await page.getByRole('option', { name: 'cache:write' }).click();
  await page.keyboard.press('Tab');
}

function useKey(key: string, method: 'GET' | 'PUT'): Promise<Response> {
  return fetch(`${api.url}/v1/cache/user%3Ax`, {
    method,
    headers: { 'X-API-Key': key, 'Content-Type': 'application/json' },
    ...(method === 'PUT' && { body: JSON.stringify({ value: 'hello' }) }),
  });
}

/** Holds the next `count` requests until all are there, then sends them with a token that is good no more. */
async function spoilTogether(page: Page, url: string, count: number): Promise<void> {
  const held: Route[] = [];
  const handler = async (route: Route) => {
    // A call that is made again, with its new token, may come before the handler is taken away.
    if (held.length === count) return route.continue();
    held.push(route);
    if (held.length < count) return;
    for (const one of held) {
      await one.continue({ headers: { ...one.request().headers(), authorization: 'Bearer expired' } });
    }
    await page.unroute(url, handler);
  };
  await page.route(url, handler);
}
