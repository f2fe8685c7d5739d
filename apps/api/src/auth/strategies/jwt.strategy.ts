import { TOKEN_ISSUER } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { PassportStrategy } from '@nestjs/passport';
import type { FastifyRequest } from 'fastify';
import passport from 'passport';
import { LiveConfig } from '../../platform/live-config.js';
import { DatabaseClock } from '../../platform/postgres/database-clock.js';
import { AccessTokens } from '../access-tokens.js';
import { credentialIn } from '../presented-credential.js';
import type { Principal } from '../principal.js';
import { SessionsService } from '../sessions.service.js';
import { OutsideTokens } from '../tokens/outside-tokens.js';
import { readToken, TokenRefused } from '../tokens/token-text.js';

/** Bearer tokens: of this service, and of an outside issuer. Which of them it is only decides whose keys are looked at. */
@Injectable()
export class AccessTokenStrategy extends PassportStrategy(passport.Strategy, 'jwt') {
  constructor(
    private readonly accessTokens: AccessTokens,
    private readonly outsideTokens: OutsideTokens,
    private readonly sessions: SessionsService,
    private readonly config: LiveConfig,
    private readonly clock: DatabaseClock,
  ) {
    super();
  }

  override authenticate({ headers }: Pick<FastifyRequest, 'headers'>): void {
    this.validate(credentialIn(headers)?.text ?? '').then(
      (principal) => (principal ? this.success(principal) : this.fail()),
      (error: unknown) => (error instanceof TokenRefused ? this.fail(error) : this.error(error)),
    );
  }

  /** @throws TokenRefused, ApiError */
  async validate(text: string): Promise<Principal | undefined> {
    const principal = await this.principalOf(text);
    // The token may have expired while it was looked at, and its session before.
    return principal && principal.expiresAtMs > this.clock.nowMs() ? principal : undefined;
  }

  private async principalOf(text: string): Promise<Principal | undefined> {
    const token = readToken(text);
    if (token.issuer !== TOKEN_ISSUER) return this.outsideTokens.verify(token);
    if (!this.config.current.security.authentication.methods.includes('jwt')) throw new TokenRefused();
    return this.sessions.principalOf(await this.accessTokens.verify(token));
  }
}
