import type { ChangePasswordRequest, LoginRequest, TokenPair } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager, IsNull } from 'typeorm';
import { type Actor, AuditLog } from '../platform/audit/audit-log.js';
import { ApiError, AuthenticationFailed, InsufficientPermissions, InvalidRequest } from '../platform/http/api-error.js';
import { DatabaseClock } from '../platform/postgres/database-clock.js';
import { type Attempt, LoginSlowDown } from './login-slow-down.js';
import { hashPassword, isOutdated, verifyPassword } from './passwords.js';
import type { Principal } from './principal.js';
import { SessionsService } from './sessions.service.js';
import { User } from './user.entity.js';
import { VerifiedCredentials } from './verified-credentials.js';

/** What users do with their passwords: log in, and change them. */
@Injectable()
export class AccountsService {
  constructor(
    private readonly database: DataSource,
    private readonly sessions: SessionsService,
    private readonly slowDown: LoginSlowDown,
    private readonly verified: VerifiedCredentials,
    private readonly audit: AuditLog,
    private readonly clock: DatabaseClock,
  ) {}

  /**
   * @throws AuthenticationFailed, the same for a wrong password, an account that is not there and one that is disabled
   * @throws ApiError RATE_LIMIT_EXCEEDED after failures, SERVICE_OVERLOADED
   */
  async login(request: LoginRequest, who: Actor): Promise<TokenPair> {
    this.sessions.refuseWithoutTokens();
    const email = request.email.toLowerCase();
    const attempt = await this.slowDown.begin(email, who.address);
    const pair = await this.orTakeBack(attempt, async () => {
      const user = await this.database.getRepository(User).findOneBy({ email });
      const matches = await verifyPassword(user?.passwordHash, request.password);
      return user && !user.disabledAt && matches ? this.enter(user, request.password, attempt, who) : undefined;
    });
    if (pair) return pair;
    await this.refused('user.login', email, who);
    throw new AuthenticationFailed('wrong e-mail or password');
  }

  /**
   * Replaces the password of the caller and ends their other sessions.
   * @throws InsufficientPermissions for who has no password here, InvalidRequest when the current one is wrong
   * @throws ApiError RATE_LIMIT_EXCEEDED after failures, SERVICE_OVERLOADED
   */
  async changePassword(caller: Principal, request: ChangePasswordRequest, who: Actor): Promise<void> {
    const user = await this.database.getRepository(User).findOneBy({ id: caller.id });
    if (!user || caller.sessionId === null) throw new InsufficientPermissions({ required: 'a user who has logged in' });
    const attempt = await this.slowDown.begin(user.email, who.address);
    const hasChanged = await this.orTakeBack(attempt, async () => {
      if (!(await verifyPassword(user.passwordHash, request.current_password))) return false;
      await this.replacePassword(user, request.new_password, attempt, caller, who);
      return true;
    });
    if (!hasChanged) {
      await this.refused('user.change_password', user.email, who);
      throw new InvalidRequest([{ path: 'current_password', reason: 'is wrong' }]);
    }
    this.verified.forget('jwt');
  }

  private async replacePassword(
    user: User,
    password: string,
    attempt: Attempt,
    caller: Principal,
    who: Actor,
  ): Promise<void> {
    const passwordHash = await hashPassword(password);
    await this.database.transaction(async (transaction) => {
      if (!(await lockUnchanged(transaction, user))) throw new PasswordChanged();
      await transaction.update(User, { id: user.id }, { passwordHash, passwordChangedAt: this.clock.now() });
      await this.slowDown.succeed(transaction, attempt);
      await this.sessions.endAll(transaction, user.id, caller.sessionId ?? undefined);
      const target = { type: 'user', id: user.id };
      await this.audit.record(transaction, { action: 'user.change_password', actor: who, target });
    });
  }

  /** Does what was counted as an attempt; what fails for another reason than a wrong password was none. */
  private async orTakeBack<T>(attempt: Attempt, task: () => Promise<T>): Promise<T> {
    try {
      return await task();
    } catch (error) {
      await this.slowDown.takeBack(attempt);
      throw error;
    }
  }

  /** Opens a session, unless the account was disabled or its password changed while it was checked. */
  private async enter(user: User, password: string, attempt: Attempt, who: Actor): Promise<TokenPair | undefined> {
    const passwordHash = isOutdated(user.passwordHash) ? await hashPassword(password) : user.passwordHash;
    return this.database.transaction(async (transaction) => {
      if (!(await lockUnchanged(transaction, user))) return undefined;
      await transaction.update(User, { id: user.id }, { passwordHash, lastLoginAt: this.clock.now() });
      await this.slowDown.succeed(transaction, attempt);
      const pair = await this.sessions.open(transaction, user.id);
      const actor: Actor = { ...who, type: 'user', id: user.id, name: user.email };
      await this.audit.record(transaction, { action: 'user.login', actor, target: { type: 'user', id: user.id } });
      return pair;
    });
  }

  /** The target is the address that was tried: the same for an account that is there and one that is not. */
  private refused(action: string, email: string, who: Actor): Promise<void> {
    const target = { type: 'account', id: email };
    return this.database.transaction((transaction) =>
      this.audit.record(transaction, { action, outcome: 'refused', actor: who, target }),
    );
  }
}

/** Whether a user is enabled and has the password that was checked; nobody changes either until the transaction ends. */
async function lockUnchanged(transaction: EntityManager, { id, passwordChangedAt }: User): Promise<boolean> {
  const user = await transaction.findOne(User, {
    where: { id, disabledAt: IsNull() },
    lock: { mode: 'for_no_key_update' },
  });
  // The hash may differ: it is made anew when its parameters are outdated.
  return user?.passwordChangedAt.getTime() === passwordChangedAt.getTime();
}

class PasswordChanged extends ApiError {
  constructor() {
    super('CACHE_KEY_CONFLICT', {}, { message: 'The password was changed concurrently' });
  }
}
