import path from 'node:path';
import { tokenPairSchema } from '@cache-system/contracts';
import { createTemporaryFolder } from '../../../tools/harness/tied-process.mjs';
import { readAudit } from './support/audit.js';
import { logIn } from './support/credentials.js';
import { expectError } from './support/expectations.js';
import { runCommand } from './support/process.js';
import { type Service, startService, STORES } from './support/service.js';

const recover = runCommand.bind(null, 'users-recover');

const passwordIn = (output: string) => output.trim().split(' ').at(-1) ?? '';

describe('the command for when nobody can log in', () => {
  const folder = createTemporaryFolder('recover');
  const dataDir = { DATA_DIR: path.join(folder.path, 'data') };
  let service: Service;
  let env: Readonly<Record<string, string>>;
  let password: string;

  beforeAll(async () => {
    service = await startService(dataDir);
    env = { ...dataDir, ...service.stores };
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });

  /** The embedded database belongs to one process at a time. */
  async function whileStopped<T>(task: () => Promise<T>): Promise<T> {
    if (STORES !== 'embedded') return task();
    await service.stop();
    const result = await task();
    service = await startService(dataDir);
    return result;
  }

  const logInAs = (email: string, password: string) =>
    service.client.with({}).post('/v1/auth/login', { email, password });

  /** With the password that was made last. */
  async function admin() {
    const { access_token } = tokenPairSchema.parse((await logInAs(service.api.adminEmail, password)).json);
    return service.client.with({ authorization: `Bearer ${access_token}` });
  }

  test('gives an administrator a new password, and ends what was open', async () => {
    const { refresh_token } = await logIn(service);
    const { adminEmail, adminPassword } = service.api;
    const { exitCode, output } = await whileStopped(() => recover(env, adminEmail.toUpperCase()));
    expect(output).toMatch(/^\S+ is an administrator with the password \S{20,}\n$/);
    expect(exitCode).toBe(0);
    password = passwordIn(output);
    expectError(await logInAs(adminEmail, adminPassword), 401, 'AUTHENTICATION_FAILED');
    expectError(
      await service.client.with({}).post('/v1/auth/refresh', { refresh_token }),
      401,
      'AUTHENTICATION_FAILED',
    );
    const { entries } = await readAudit(await admin(), { action: 'user.recover' });
    expect(entries).toMatchObject([{ actor: { type: 'system', name: 'users:recover' }, before: { role: 'admin' } }]);
    expect(JSON.stringify(entries)).not.toContain(password);
  });

  test('makes an administrator of a user who was disabled', async () => {
    const user = { email: 'ada@example.com', role: 'viewer' };
    const { id } = (await (await admin()).post('/v1/admin/users', user)).json as { id: string };
    await (await admin()).patch(`/v1/admin/users/${id}`, { disabled: true });
    const { output } = await whileStopped(() => recover(env, user.email));
    expect((await logInAs(user.email, passwordIn(output))).status).toBe(200);
  });

  test('does nothing for an address that nobody has, and says how it is called', async () => {
    const nobody = await whileStopped(() => recover(env, 'nobody@example.com'));
    expect(nobody).toEqual({ exitCode: 1, output: 'nobody has the e-mail address nobody@example.com\n' });
    const { exitCode, output } = await recover(env);
    expect(output).toMatch(/^npm run users:recover/);
    expect(exitCode).toBe(2);
  });

  (STORES === 'embedded' ? test : test.skip)('disturbs no service that runs on its embedded database', async () => {
    const { exitCode, output } = await recover(env, service.api.adminEmail);
    expect(output).toMatch(/in use by another process/);
    expect(exitCode).toBe(2);
  });
});
