import { TOKEN_ISSUER } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { LiveConfig } from '../platform/live-config.js';
import { DatabaseClock } from '../platform/postgres/database-clock.js';
import { Secrets } from '../platform/secrets.js';
import { CLOCK_LEEWAY_SECONDS, expiryOf, TokenRefused, type UnverifiedToken } from './tokens/token-text.js';
import { verificationFailure } from './tokens/verification-failure.js';

const TOKEN_AUDIENCE = 'cache-system-api';
/** The type of access tokens (RFC 9068 §2.1): nothing else that is signed with our keys passes for one. */
const TOKEN_TYPE = 'at+jwt';

const claimsSchema = z.object({
  sub: z.string().min(1),
  /** The session that the token belongs to: when it ends, so does the token. */
  sid: z.string().min(1),
  typ: z.literal('access'),
  iat: z.number(),
  exp: z.number(),
});

/** Claims of a verified access token; `exp` is when it stops to count. */
export type AccessTokenClaims = Readonly<z.infer<typeof claimsSchema>>;

/** The tokens of this service's own sessions. */
@Injectable()
export class AccessTokens {
  constructor(
    private readonly secrets: Secrets,
    private readonly config: LiveConfig,
    private readonly clock: DatabaseClock,
  ) {}

  /** @param atMostSeconds until the session ends unless it is refreshed, which its tokens do not outlive */
  async issue(
    userId: string,
    sessionId: string,
    now: Date,
    atMostSeconds: number,
  ): Promise<{ token: string; expiresInSeconds: number }> {
    const { access_token_ttl } = this.config.current.security.authentication;
    const expiresInSeconds = Math.min(access_token_ttl, atMostSeconds);
    const issuedAt = Math.floor(now.getTime() / 1000);
    const { id, algorithm, key } = this.secrets.tokenKeys.signing;
    const token = await new SignJWT({ sid: sessionId, typ: 'access' })
      .setProtectedHeader({ alg: algorithm, typ: TOKEN_TYPE, kid: id })
      .setSubject(userId)
      .setIssuer(TOKEN_ISSUER)
      .setAudience(TOKEN_AUDIENCE)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + expiresInSeconds)
      .sign(key);
    return { token, expiresInSeconds };
  }

  /**
   * Checks everything that the token itself can tell. The key is the one that it names, and the algorithm is the key's.
   * @throws TokenRefused
   */
  async verify({ text, header }: UnverifiedToken): Promise<AccessTokenClaims> {
    const known = this.secrets.tokenKeys.verifying.get(header.kid);
    if (known?.algorithm !== header.alg) throw new TokenRefused();
    const now = this.clock.now();
    const { payload } = await jwtVerify(text, known.key, {
      algorithms: [known.algorithm],
      typ: TOKEN_TYPE,
      issuer: TOKEN_ISSUER,
      audience: TOKEN_AUDIENCE,
      clockTolerance: CLOCK_LEEWAY_SECONDS,
      currentDate: now,
    }).catch(verificationFailure);
    const claims = claimsSchema.safeParse(payload);
    if (!claims.success) throw new TokenRefused(undefined, { cause: claims.error });
    const { session_timeout } = this.config.current.security.authentication;
    return { ...claims.data, exp: expiryOf(claims.data, session_timeout, now) };
  }
}
