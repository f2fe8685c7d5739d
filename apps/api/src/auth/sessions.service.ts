import { randomBytes } from 'node:crypto';
import { ROLE_GRANTS, type TokenPair } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager, IsNull, LessThan, Not } from 'typeorm';
import { type Actor, AuditLog } from '../platform/audit/audit-log.js';
import { AuthenticationFailed } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import { AccessTokens, type AccessTokenClaims } from './access-tokens.js';
import { hashSecret } from './api-key-format.js';
import { CredentialEpoch } from './credential-epoch.js';
import { principal, type Principal } from './principal.js';
import { firstRefreshToken, RETRY_WINDOW_MS, successorOf, successorSalt } from './refresh-chain.js';
import { RefreshToken, Session } from './session.entity.js';
import { User } from './user.entity.js';
import { VerifiedCredentials } from './verified-credentials.js';

/**
 * Used tokens that are kept of a session, so that it ends when one of them is used again: those of a day, by default. An older
 * one is refused, and no more.
 */
const USED_TOKENS_KEPT = 100;

/** Logins: each is a session with one live refresh token, which is replaced at every use. */
@Injectable()
export class SessionsService {
  constructor(
    private readonly database: DataSource,
    private readonly accessTokens: AccessTokens,
    private readonly epochs: CredentialEpoch,
    private readonly verified: VerifiedCredentials,
    private readonly config: LiveConfig,
    private readonly audit: AuditLog,
  ) {}

  /** @throws AuthenticationFailed where nothing would accept the tokens of a session */
  refuseWithoutTokens(): void {
    if (this.settings.methods.includes('jwt')) return;
    throw new AuthenticationFailed('logins are switched off: security.authentication.methods has no jwt');
  }

  /** Opens a session for who has proved to be this user, and forgets those of theirs that are long over. */
  async open(transaction: EntityManager, userId: string): Promise<TokenPair> {
    const now = await databaseTime(transaction);
    const overSince = new Date(now.getTime() - this.settings.session_max_age * 1000);
    await transaction.delete(Session, { userId, createdAt: LessThan(overSince) });
    const session = { id: `ses_${randomBytes(16).toString('hex')}`, userId, createdAt: now };
    await transaction.insert(Session, session);
    return this.issuePair(transaction, session, firstRefreshToken(), now);
  }

  /**
   * Replaces a refresh token by a new one. Repeated within ten seconds, as by a caller that missed the answer, it gives
   * the same one again, unless that was used meanwhile. Any other use of a used token means that it was stolen, or its
   * successor was: the whole session ends.
   * @throws AuthenticationFailed
   */
  async refresh(token: string, who: Actor): Promise<TokenPair> {
    this.refuseWithoutTokens();
    const outcome = await this.database.transaction(async (transaction) => {
      const session = await this.lockSession(transaction, hashSecret(token));
      if (!session) return undefined;
      // Read once the session is locked: of many at once each sees what the one before has done.
      const stored = await transaction.findOneByOrFail(RefreshToken, { tokenHash: hashSecret(token) });
      const now = await databaseTime(transaction);
      if (this.endOf(session) <= now.getTime()) return undefined;
      if (!stored.usedAt) return this.replace(transaction, session, token, stored, now);
      const successor = await this.retried(transaction, token, stored, now);
      if (successor) return this.pairOf(session, successor.token, successor.expiresAt, now);
      await this.end(transaction, session.id);
      const target = { type: 'session', id: session.id };
      const after = { user_id: session.userId, session: 'ended' };
      await this.audit.record(transaction, { action: 'session.reuse', outcome: 'refused', actor: who, target, after });
      return 'ended';
    });
    if (outcome === 'ended') this.verified.forget('jwt');
    if (typeof outcome !== 'object') throw new AuthenticationFailed('the refresh token is unknown, expired or used');
    return outcome;
  }

  async logout(sessionId: string, who: Actor): Promise<void> {
    const hasEnded = await this.database.transaction(async (transaction) => {
      if (!(await this.end(transaction, sessionId))) return false;
      const target = { type: 'session', id: sessionId };
      await this.audit.record(transaction, { action: 'user.logout', actor: who, target });
      return true;
    });
    if (hasEnded) this.verified.forget('jwt');
  }

  /** Ends all sessions of a user, whose row is locked, but one. `verified.forget` is to follow the transaction. */
  async endAll(transaction: EntityManager, userId: string, exceptId = ''): Promise<void> {
    const endedAt = await databaseTime(transaction);
    await transaction.update(Session, { userId, id: Not(exceptId), endedAt: IsNull() }, { endedAt });
    await this.epochs.advance(transaction, 'sessions');
  }

  /** The user whom a correctly signed token names, unless the session was ended. They expire with it, by the settings of now. */
  async principalOf(claims: AccessTokenClaims): Promise<Principal | undefined> {
    const session = await this.database.getRepository(Session).findOneBy({ id: claims.sid, userId: claims.sub });
    if (!session || session.endedAt) return undefined;
    const user = await this.database.getRepository(User).findOneBy({ id: claims.sub });
    if (!user || user.disabledAt) return undefined;
    return principal({
      type: 'user',
      id: user.id,
      name: user.email,
      role: user.role,
      grants: ROLE_GRANTS[user.role],
      namespace: null,
      keyPrefixes: [],
      tier: 'enterprise',
      rateLimit: null,
      sessionId: session.id,
      expiresAtMs: Math.min(claims.exp * 1000, this.endOf(session)),
    });
  }

  private get settings() {
    return this.config.current.security.authentication;
  }

  /** The session of a refresh token, if it is still on, held against everything else that would change it. */
  private async lockSession(transaction: EntityManager, tokenHash: Buffer): Promise<Session | undefined> {
    const token = await transaction.findOneBy(RefreshToken, { tokenHash });
    if (!token) return undefined;
    const session = await transaction.findOne(Session, {
      where: { id: token.sessionId, endedAt: IsNull() },
      lock: { mode: 'pessimistic_write' },
    });
    if (!session) return undefined;
    const isEnabled = await transaction.existsBy(User, { id: session.userId, disabledAt: IsNull() });
    return isEnabled ? session : undefined;
  }

  private async replace(
    transaction: EntityManager,
    session: Session,
    token: string,
    stored: RefreshToken,
    now: Date,
  ): Promise<TokenPair | undefined> {
    if (this.idleEndOf(stored) <= now) return undefined;
    const { tokenHash } = stored;
    const salt = successorSalt();
    await transaction.update(RefreshToken, { tokenHash }, { usedAt: now, successorSalt: salt });
    await transaction.query(
      `DELETE FROM refresh_tokens WHERE session_id = $1 AND used_at <
         (SELECT used_at FROM refresh_tokens WHERE session_id = $1 AND used_at IS NOT NULL ORDER BY used_at DESC OFFSET $2 LIMIT 1)`,
      [session.id, USED_TOKENS_KEPT - 1],
    );
    return this.issuePair(transaction, session, successorOf(token, salt), now);
  }

  /** The successor of a used token, where its use is so recent, and the successor so unused, that this is a retry. */
  private async retried(
    transaction: EntityManager,
    token: string,
    { usedAt, successorSalt: salt }: RefreshToken,
    now: Date,
  ): Promise<{ token: string; expiresAt: Date } | undefined> {
    if (!usedAt || !salt || now.getTime() - usedAt.getTime() >= RETRY_WINDOW_MS) return undefined;
    const successor = successorOf(token, salt);
    const stored = await transaction.findOneBy(RefreshToken, { tokenHash: hashSecret(successor), usedAt: IsNull() });
    return stored ? { token: successor, expiresAt: this.idleEndOf(stored) } : undefined;
  }

  /** Ends a session; false when it had ended before, so that repeating it costs the nodes nothing. */
  private async end(transaction: EntityManager, sessionId: string): Promise<boolean> {
    const endedAt = await databaseTime(transaction);
    const ended = await transaction.update(Session, { id: sessionId, endedAt: IsNull() }, { endedAt });
    if (ended.affected !== 1) return false;
    await this.epochs.advance(transaction, 'sessions');
    return true;
  }

  private async issuePair(
    transaction: EntityManager,
    session: Pick<Session, 'id' | 'userId' | 'createdAt'>,
    refreshToken: string,
    now: Date,
  ): Promise<TokenPair> {
    const idleEndMs = now.getTime() + this.settings.session_timeout * 1000;
    const expiresAt = new Date(Math.min(idleEndMs, this.endOf(session)));
    const tokenHash = hashSecret(refreshToken);
    await transaction.insert(RefreshToken, { tokenHash, sessionId: session.id, issuedAt: now, expiresAt });
    return this.pairOf(session, refreshToken, expiresAt, now);
  }

  private async pairOf(
    { id, userId }: Pick<Session, 'id' | 'userId'>,
    refreshToken: string,
    expiresAt: Date,
    now: Date,
  ): Promise<TokenPair> {
    const atMostSeconds = Math.ceil((expiresAt.getTime() - now.getTime()) / 1000);
    const { token, expiresInSeconds } = await this.accessTokens.issue(userId, id, now, atMostSeconds);
    return { access_token: token, refresh_token: refreshToken, token_type: 'Bearer', expires_in: expiresInSeconds };
  }

  /** When a session ends that is not refreshed with its token. */
  private idleEndOf({ issuedAt, expiresAt }: RefreshToken): Date {
    return new Date(Math.min(expiresAt.getTime(), issuedAt.getTime() + this.settings.session_timeout * 1000));
  }

  /** When a session ends however often it is refreshed, in milliseconds since the epoch. */
  private endOf({ createdAt }: Pick<Session, 'createdAt'>): number {
    return createdAt.getTime() + this.settings.session_max_age * 1000;
  }
}

/** Nodes may disagree about the time; of the database there is one. */
async function databaseTime(transaction: EntityManager): Promise<Date> {
  const [row] = await transaction.query<{ now: Date }[]>('SELECT clock_timestamp() AS now');
  if (!row) throw new Error('the database does not tell the time');
  return row.now;
}
