import { randomBytes } from 'node:crypto';
import { ROLE_GRANTS, type TokenPair } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager, IsNull } from 'typeorm';
import { AuthenticationFailed } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import { AccessTokens, type AccessTokenClaims } from './access-tokens.js';
import { hashSecret } from './api-key-format.js';
import { CredentialEpoch } from './credential-epoch.js';
import { verifyPassword } from './passwords.js';
import { principal, type Principal } from './principal.js';
import { RefreshToken, Session } from './session.entity.js';
import { User } from './user.entity.js';
import { VerifiedCredentials } from './verified-credentials.js';

/** Logins: each is a session with one live refresh token, which is replaced at every use. */
@Injectable()
export class SessionsService {
  constructor(
    private readonly database: DataSource,
    private readonly accessTokens: AccessTokens,
    private readonly epochs: CredentialEpoch,
    private readonly verified: VerifiedCredentials,
    private readonly config: LiveConfig,
  ) {}

  /** @throws AuthenticationFailed, the same for a wrong password and for an account that is not there */
  async login(email: string, password: string): Promise<TokenPair> {
    const user = await this.database.getRepository(User).findOneBy({ email: email.toLowerCase() });
    const matches = await verifyPassword(user?.passwordHash, password);
    if (!user || !matches || user.disabledAt) throw new AuthenticationFailed('wrong e-mail or password');
    const sessionId = `ses_${randomBytes(16).toString('hex')}`;
    return this.database.transaction(async (transaction) => {
      await transaction.insert(Session, { id: sessionId, userId: user.id });
      return this.issuePair(transaction, user.id, sessionId);
    });
  }

  /**
   * Replaces a refresh token by a new one. A token that comes a second time has been stolen, or its successor has:
   * the whole session ends.
   * @throws AuthenticationFailed
   */
  async refresh(token: string): Promise<TokenPair> {
    const tokenHash = hashSecret(token);
    const outcome = await this.database.transaction(async (transaction) => {
      // One statement decides who uses the token: of concurrent calls one gets a row.
      const claimed = await transaction
        .createQueryBuilder()
        .update(RefreshToken)
        .set({ usedAt: () => 'now()' })
        .where('token_hash = :tokenHash AND used_at IS NULL AND expires_at > now()', { tokenHash })
        .execute();
      const stored = await transaction.findOneBy(RefreshToken, { tokenHash });
      if (!stored) return undefined;
      if (claimed.affected !== 1) {
        return stored.usedAt && (await this.end(transaction, stored.sessionId)) ? 'ended' : undefined;
      }
      const session = await transaction.findOneBy(Session, { id: stored.sessionId });
      const user = session && !session.endedAt && (await transaction.findOneBy(User, { id: session.userId }));
      if (!user || user.disabledAt) return undefined;
      return this.issuePair(transaction, user.id, stored.sessionId);
    });
    if (outcome === 'ended') this.verified.forgetAll();
    if (typeof outcome !== 'object') throw new AuthenticationFailed('the refresh token is unknown, expired or used');
    return outcome;
  }

  async logout(sessionId: string): Promise<void> {
    await this.database.transaction((transaction) => this.end(transaction, sessionId));
    this.verified.forgetAll();
  }

  /** The user whom a correctly signed token names, if the session is still on. */
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
      expiresAtMs: claims.exp * 1000,
    });
  }

  /** Ends a session; false when it had ended before, so that repeating it costs the nodes nothing. */
  private async end(transaction: EntityManager, sessionId: string): Promise<boolean> {
    const ended = await transaction.update(Session, { id: sessionId, endedAt: IsNull() }, { endedAt: new Date() });
    if (ended.affected !== 1) return false;
    await this.epochs.advance(transaction);
    return true;
  }

  private async issuePair(transaction: EntityManager, userId: string, sessionId: string): Promise<TokenPair> {
    const refreshToken = `rt_${randomBytes(32).toString('base64url')}`;
    const lifetimeMs = this.config.current.security.authentication.session_timeout * 1000;
    await transaction.insert(RefreshToken, {
      tokenHash: hashSecret(refreshToken),
      sessionId,
      expiresAt: new Date(Date.now() + lifetimeMs),
    });
    const { token, expiresInSeconds } = await this.accessTokens.issue(userId, sessionId);
    return { access_token: token, refresh_token: refreshToken, token_type: 'Bearer', expires_in: expiresInSeconds };
  }
}
