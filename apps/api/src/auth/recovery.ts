import { IsNull, type DataSource } from 'typeorm';
import { type Actor, AuditLog } from '../platform/audit/audit-log.js';
import { CredentialEpoch } from './credential-epoch.js';
import { hashPassword, makePassword } from './passwords.js';
import { Session } from './session.entity.js';
import { User } from './user.entity.js';

const COMMAND: Actor = { type: 'system', id: null, name: 'users:recover', address: null, request_id: null };

/**
 * Gives a user a new password, makes them an enabled administrator, and ends their sessions: for who has the database, when
 * no administrator can log in.
 * @returns the password, or undefined where nobody has that address
 */
export async function recoverAdmin(database: DataSource, address: string): Promise<string | undefined> {
  const email = address.toLowerCase();
  const password = makePassword();
  const passwordHash = await hashPassword(password);
  return database.transaction(async (transaction) => {
    const user = await transaction.findOne(User, { where: { email }, lock: { mode: 'pessimistic_write' } });
    if (!user) return undefined;
    const { id, role, disabledAt } = user;
    const now = new Date();
    await transaction.update(User, { id }, { passwordHash, passwordChangedAt: now, role: 'admin', disabledAt: null });
    await transaction.update(Session, { userId: id, endedAt: IsNull() }, { endedAt: now });
    await new CredentialEpoch(database).advance(transaction, 'sessions');
    await new AuditLog(database).record(transaction, {
      action: 'user.recover',
      actor: COMMAND,
      target: { type: 'user', id },
      before: { email, role, disabled: disabledAt !== null },
      after: { email, role: 'admin', disabled: false, password: 'replaced' },
    });
    return password;
  });
}
