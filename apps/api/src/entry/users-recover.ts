import { recoverAdmin } from '../auth/recovery.js';
import { RefreshToken, Session } from '../auth/session.entity.js';
import { User } from '../auth/user.entity.js';
import { readEnvironment, StartRefused } from '../platform/env.js';
import { openDatabase } from '../platform/postgres/database.js';
import { requireDatabase } from '../platform/postgres/embedded.js';

const USAGE = `npm run users:recover -- E-MAIL

For when no administrator can log in: gives the user with that e-mail address a new password, makes them an enabled
administrator, and ends their sessions. Prints the password.

Writes to the database of DATABASE_URL, or to the embedded one in DATA_DIR while the service is stopped. Ends with 1 when
nobody has that address, and with 2 when it cannot be done.`;

async function run(): Promise<void> {
  const [email, ...more] = process.argv.slice(2);
  if (!email?.includes('@') || more.length > 0) throw new StartRefused([USAGE]);
  // eslint-disable-next-line no-restricted-syntax -- an entry point: here the environment comes in
  const environment = readEnvironment(process.env);
  if (environment.DATABASE_URL === undefined) requireDatabase(environment.DATA_DIR);
  const database = await openDatabase(environment, [RefreshToken, Session, User]);
  try {
    const password = await recoverAdmin(database.source, email);
    if (password === undefined) {
      process.stderr.write(`nobody has the e-mail address ${email}\n`);
      process.exitCode = 1;
    } else process.stdout.write(`${email} is an administrator with the password ${password}\n`);
  } finally {
    await database.stop();
  }
}

try {
  await run();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 2;
}
