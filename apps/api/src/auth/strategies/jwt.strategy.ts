import { Injectable } from '@nestjs/common';
import { PassportStrategy } from '@nestjs/passport';
import { ExtractJwt, Strategy } from 'passport-jwt';
import { z } from 'zod';
import { Secrets } from '../../platform/secrets.js';
import { TOKEN_ALGORITHM, TOKEN_AUDIENCE, TOKEN_ISSUER } from '../access-tokens.js';
import type { Principal } from '../principal.js';
import { SessionsService } from '../sessions.service.js';

const claimsSchema = z.object({
  sub: z.string(),
  sid: z.string(),
  typ: z.literal('access'),
  exp: z.number(),
});

@Injectable()
export class AccessTokenStrategy extends PassportStrategy(Strategy, 'jwt') {
  constructor(
    private readonly sessions: SessionsService,
    secrets: Secrets,
  ) {
    super({
      jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
      secretOrKey: secrets.jwtSecret,
      algorithms: [TOKEN_ALGORITHM],
      issuer: TOKEN_ISSUER,
      audience: TOKEN_AUDIENCE,
    });
  }

  /** Called once signature, algorithm, issuer, audience and expiry are found good. */
  async validate(claims: unknown): Promise<Principal | undefined> {
    const parsed = claimsSchema.safeParse(claims);
    return parsed.success ? this.sessions.principalOf(parsed.data) : undefined;
  }
}
