import { randomBytes } from 'node:crypto';
import {
  type ChangeUserRequest,
  type CreateUserRequest,
  grantsBeyond,
  type Role,
  ROLE_GRANTS,
  type UserList,
  type UserQuery,
  type UserView,
  type UserWithPassword,
} from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager, IsNull } from 'typeorm';
import { type Actor, AuditLog } from '../platform/audit/audit-log.js';
import { ApiError, InsufficientPermissions, ResourceNotFound } from '../platform/http/api-error.js';
import { DatabaseClock } from '../platform/postgres/database-clock.js';
import { hashPassword, makePassword } from './passwords.js';
import type { Principal } from './principal.js';
import { CredentialEpoch } from './credential-epoch.js';
import { SessionsService } from './sessions.service.js';
import { User } from './user.entity.js';
import { VerifiedCredentials } from './verified-credentials.js';

/** The accounts of all users, as administrators see and change them. */
@Injectable()
export class UsersService {
  constructor(
    private readonly database: DataSource,
    private readonly sessions: SessionsService,
    private readonly epochs: CredentialEpoch,
    private readonly verified: VerifiedCredentials,
    private readonly audit: AuditLog,
    private readonly clock: DatabaseClock,
  ) {}

  /** @throws InsufficientPermissions when the user would have more than its maker, UserConflict, ApiError SERVICE_OVERLOADED */
  async create(maker: Principal, request: CreateUserRequest, who: Actor): Promise<UserWithPassword> {
    refuseBeyond(maker, [request.role]);
    const password = request.password ?? makePassword();
    const email = request.email.toLowerCase();
    const now = this.clock.now();
    const user: User = {
      id: `usr_${randomBytes(10).toString('hex')}`,
      email,
      passwordHash: await hashPassword(password),
      passwordChangedAt: now,
      role: request.role,
      disabledAt: null,
      createdAt: now,
      lastLoginAt: null,
    };
    await this.database.transaction(async (transaction) => {
      await refuseFormerAdmin(transaction, maker);
      const made = await transaction
        .createQueryBuilder()
        .insert()
        .into(User)
        .values(user)
        .orIgnore()
        .returning('id')
        .execute();
      if ((made.raw as unknown[]).length === 0)
        throw new UserConflict('email_taken', 'This e-mail address has an account already');
      const target = { type: 'user', id: user.id };
      await this.audit.record(transaction, { action: 'user.create', actor: who, target, after: view(user) });
    });
    return { ...view(user), ...(request.password === undefined && { password }) };
  }

  /** @throws InsufficientPermissions */
  async list(viewer: Principal, { role, disabled, email, cursor, limit }: UserQuery): Promise<UserList> {
    refuseLimited(viewer);
    const query = this.database
      .getRepository(User)
      .createQueryBuilder('each')
      .orderBy('each.email')
      .take(limit + 1);
    if (role) query.andWhere('each.role = :role', { role });
    if (disabled) query.andWhere(`each.disabled_at IS ${disabled === 'true' ? 'NOT ' : ''}NULL`);
    if (email !== undefined) query.andWhere('strpos(each.email, :part) > 0', { part: email.toLowerCase() });
    if (cursor !== undefined) query.andWhere('each.email > :after', { after: readCursor(cursor) });
    const found = await query.getMany();
    const page = found.slice(0, limit);
    const last = found.length > limit ? page.at(-1) : undefined;
    return { users: page.map(view), cursor: last ? writeCursor(last.email) : null };
  }

  /** @throws ResourceNotFound, InsufficientPermissions */
  async read(viewer: Principal, id: string): Promise<UserView> {
    refuseLimited(viewer);
    const user = await this.database.getRepository(User).findOneBy({ id });
    if (!user) throw new ResourceNotFound('user', id);
    return view(user);
  }

  /** @throws ResourceNotFound, InsufficientPermissions, UserConflict, ApiError SERVICE_OVERLOADED */
  async change(changer: Principal, id: string, request: ChangeUserRequest, who: Actor): Promise<UserWithPassword> {
    refuseBeyond(changer, request.role ? [request.role] : []);
    refuseOfOneself(changer, id, request);
    const password = request.password === null ? makePassword() : request.password;
    const passwordHash = password === undefined ? undefined : await hashPassword(password);
    const changed = await this.database.transaction(async (transaction) => {
      const { user, otherAdmins } = await lockWithAdmins(transaction, id, changer);
      refuseBeyond(changer, [user.role]);
      const role = request.role ?? user.role;
      const now = this.clock.now();
      const disabledAt = disabledSince(user, request.disabled, now);
      if (isAdmin(user) && !isAdmin({ role, disabledAt }) && otherAdmins === 0) {
        throw new UserConflict('last_admin', 'This is the last administrator: make another one first');
      }
      const isSame = role === user.role && disabledAt?.getTime() === user.disabledAt?.getTime();
      if (isSame && passwordHash === undefined) return view(user);
      const replaced = passwordHash === undefined ? {} : { passwordHash, passwordChangedAt: now };
      await transaction.update(User, { id }, { role, disabledAt, ...replaced });
      if (disabledAt || passwordHash !== undefined) await this.sessions.endAll(transaction, id);
      else await this.epochs.advance(transaction, 'sessions');
      const before = view(user);
      const after: UserView = { ...before, role, disabled: disabledAt !== null };
      await this.audit.record(transaction, {
        action: 'user.update',
        actor: who,
        target: { type: 'user', id },
        before,
        after: { ...after, ...(passwordHash !== undefined && { password: 'replaced' }) },
      });
      return after;
    });
    this.verified.forget('jwt');
    return { ...changed, ...(request.password === null && password !== undefined && { password }) };
  }
}

/** What is asked for does not go together with the users that there are. */
class UserConflict extends ApiError {
  constructor(reason: 'email_taken' | 'last_admin', message: string) {
    super('CACHE_KEY_CONFLICT', { reason }, { message });
  }
}

/** Who was an administrator when the request came may be none any more, as after the time that a hash takes. */
class NoAdminAnyMore extends InsufficientPermissions {
  constructor() {
    super({ required: 'a user who is an administrator now' });
  }
}

/** Nobody takes the maker's role away until the transaction ends. @throws InsufficientPermissions */
async function refuseFormerAdmin(transaction: EntityManager, { id }: Principal): Promise<void> {
  const lock = { mode: 'pessimistic_read' } as const;
  const maker = await transaction.findOne(User, { where: { id, role: 'admin', disabledAt: IsNull() }, lock });
  if (!maker) throw new NoAdminAnyMore();
}

/**
 * A user, and how many enabled administrators there are beside, of whom the changer is one. All of them are locked, in the
 * same order by everybody: of two that are demoted at once the second change sees the first.
 */
async function lockWithAdmins(
  transaction: EntityManager,
  id: string,
  changer: Principal,
): Promise<{ user: User; otherAdmins: number }> {
  const locked = await transaction.find(User, {
    where: [{ id }, { role: 'admin', disabledAt: IsNull() }],
    order: { id: 'ASC' },
    lock: { mode: 'pessimistic_write' },
  });
  if (!locked.some((each) => each.id === changer.id && isAdmin(each))) throw new NoAdminAnyMore();
  const user = locked.find((each) => each.id === id);
  if (!user) throw new ResourceNotFound('user', id);
  return { user, otherAdmins: locked.filter((each) => each.id !== id && isAdmin(each)).length };
}

function isAdmin({ role, disabledAt }: Pick<User, 'role' | 'disabledAt'>): boolean {
  return role === 'admin' && disabledAt === null;
}

function disabledSince({ disabledAt }: User, disabled: boolean | undefined, now: Date): Date | null {
  if (disabled === undefined) return disabledAt;
  return disabled ? (disabledAt ?? now) : null;
}

/** Nobody makes or takes over a user who may do more. Users reach every namespace, so who is limited to one makes none. */
function refuseBeyond({ namespace, keyPrefixes, grants }: Principal, roles: readonly Role[]): void {
  if (namespace !== null || keyPrefixes.length > 0) {
    throw new InsufficientPermissions({ cannot_grant: ['every namespace'] });
  }
  const lacking = grantsBeyond(
    grants,
    roles.flatMap((role) => ROLE_GRANTS[role]),
  );
  if (lacking.length > 0) throw new InsufficientPermissions({ cannot_grant: lacking });
}

/** Users reach every namespace, so who is limited to one learns nothing about them. */
function refuseLimited({ namespace, keyPrefixes }: Principal): void {
  if (namespace === null && keyPrefixes.length === 0) return;
  throw new InsufficientPermissions({ reason: 'users are those of every namespace, and these credentials have one' });
}

/** A stolen access token must be of no use for taking the account over. */
function refuseOfOneself(changer: Principal, id: string, { role, password }: ChangeUserRequest): void {
  if (changer.id !== id) return;
  if (role !== undefined) throw new InsufficientPermissions({ reason: 'nobody changes their own role' });
  if (password === undefined) return;
  throw new InsufficientPermissions({ reason: 'POST /v1/auth/change-password changes your own password' });
}

function readCursor(cursor: string): string {
  return Buffer.from(cursor, 'base64url').toString();
}

function writeCursor(email: string): string {
  return Buffer.from(email).toString('base64url');
}

function view({ id, email, role, disabledAt, createdAt, lastLoginAt }: User): UserView {
  return {
    id,
    email,
    role,
    disabled: disabledAt !== null,
    created_at: createdAt.toISOString(),
    last_login_at: lastLoginAt?.toISOString() ?? null,
  };
}
