import { Injectable } from '@nestjs/common';
import { JwtService } from '@nestjs/jwt';
import { LiveConfig } from '../platform/live-config.js';

export const TOKEN_ISSUER = 'cache-system';
export const TOKEN_AUDIENCE = 'cache-system-api';
export const TOKEN_ALGORITHM = 'HS256';

/** Claims of an access token, beside the registered times, issuer and audience. */
export interface AccessTokenClaims {
  readonly sub: string;
  /** The session that the token belongs to: when it ends, so does the token. */
  readonly sid: string;
  readonly typ: 'access';
  readonly exp: number;
}

@Injectable()
export class AccessTokens {
  constructor(
    private readonly jwt: JwtService,
    private readonly config: LiveConfig,
  ) {}

  /** @param atMostSeconds until the session ends unless it is refreshed, which its tokens do not outlive */
  issue(userId: string, sessionId: string, atMostSeconds: number): { token: string; expiresInSeconds: number } {
    const { access_token_ttl } = this.config.current.security.authentication;
    const expiresInSeconds = Math.min(access_token_ttl, atMostSeconds);
    const token = this.jwt.sign(
      { sid: sessionId, typ: 'access' },
      {
        subject: userId,
        issuer: TOKEN_ISSUER,
        audience: TOKEN_AUDIENCE,
        algorithm: TOKEN_ALGORITHM,
        expiresIn: expiresInSeconds,
      },
    );
    return { token, expiresInSeconds };
  }
}
