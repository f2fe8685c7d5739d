import { createHash } from 'node:crypto';
import { type Claim, type Config, type Grant, namespaceSchema, type OAuth2 } from '@cache-system/contracts';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { type JWTPayload, jwtVerify } from 'jose';
import { z } from 'zod';
import { LiveConfig } from '../../platform/live-config.js';
import { DatabaseClock } from '../../platform/postgres/database-clock.js';
import { principal, type Principal } from '../principal.js';
import { VerifiedCredentials } from '../verified-credentials.js';
import { IssuerKeys } from './issuer-keys.js';
import { CLOCK_LEEWAY_SECONDS, expiryOf, TokenRefused, type UnverifiedToken } from './token-text.js';
import { verificationFailure } from './verification-failure.js';

/** In the header; `application/` may stand before it (RFC 7515 §4.1.9). */
const TOKEN_TYPES = /^(application\/)?(at\+)?jwt$/i;
/** The claim `typ` is of no standard. Where an issuer has it, it tells access tokens from those for identity and refresh. */
const CLAIMED_TYPES = /^(bearer|access|access_token|at\+jwt|jwt)$/i;

const claimsSchema = z.looseObject({
  sub: z.string().min(1).max(255),
  iat: z.number(),
  exp: z.number(),
  typ: z.string().regex(CLAIMED_TYPES).optional(),
});

interface Issuer {
  readonly terms: OAuth2;
  readonly keys: IssuerKeys;
}

/** Tokens of the outside issuer in `security.authentication.oauth2`, if there is one. */
@Injectable()
export class OutsideTokens implements OnApplicationShutdown {
  private issuer: Issuer | undefined;
  private terms = '';

  constructor(
    private readonly config: LiveConfig,
    private readonly verified: VerifiedCredentials,
    private readonly clock: DatabaseClock,
  ) {
    config.follow((current) => this.follow(current));
  }

  /** @throws TokenRefused, ApiError SERVICE_OVERLOADED while the keys of the issuer are not to be had */
  async verify(token: UnverifiedToken): Promise<Principal> {
    const { issuer } = this;
    if (issuer?.terms.issuer !== token.issuer) throw new TokenRefused();
    const { terms, keys } = issuer;
    const { alg, typ } = token.header;
    const isTyped = typ === undefined ? !terms.typ_required : TOKEN_TYPES.test(typ);
    if (!isTyped || !terms.algorithms.some((algorithm) => algorithm === alg)) throw new TokenRefused();
    const key = await keys.keyFor(token);
    const now = this.clock.now();
    const { payload } = await jwtVerify(token.text, key, {
      algorithms: [alg],
      issuer: terms.issuer,
      audience: terms.audience,
      clockTolerance: CLOCK_LEEWAY_SECONDS,
      currentDate: now,
    }).catch(verificationFailure);
    return this.principalOf(payload, terms, now);
  }

  onApplicationShutdown(): void {
    this.issuer?.keys.close();
  }

  private principalOf(payload: JWTPayload, terms: OAuth2, now: Date): Principal {
    const claims = claimsSchema.safeParse(payload);
    if (!claims.success) throw new TokenRefused(undefined, { cause: claims.error });
    const { sub } = claims.data;
    const { security, rate_limits } = this.config.current;
    const expiry = expiryOf(claims.data, security.authentication.session_timeout, now);
    return principal({
      type: 'oauth2',
      id: subjectId(terms.issuer, sub),
      name: sub,
      role: null,
      grants: grantsOf(payload, terms),
      namespace: namespaceOf(payload, terms),
      keyPrefixes: [],
      tier: terms.tier ?? rate_limits.default_tier,
      rateLimit: null,
      sessionId: null,
      // Looked at again when the keys are: one that the issuer has withdrawn may have signed it.
      expiresAtMs: Math.min(expiry * 1000, now.getTime() + terms.jwks_max_age * 1000),
    });
  }

  /** Whoever was let in under other terms is looked at again. */
  private follow({ security: { authentication } }: Config): void {
    const terms = JSON.stringify(authentication);
    if (terms === this.terms) return;
    this.terms = terms;
    this.issuer?.keys.close();
    const { oauth2, methods } = authentication;
    this.issuer = oauth2 && methods.includes('oauth2') ? { terms: oauth2, keys: new IssuerKeys(oauth2) } : undefined;
    this.verified.forget('jwt');
  }
}

/** Subjects are unique within their issuer only, and of any length. */
function subjectId(issuer: string, subject: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([issuer, subject]))
    .digest('hex');
  return `sub_${hash.slice(0, 20)}`;
}

function grantsOf(payload: JWTPayload, { permissions_claim, mapping }: OAuth2): Grant[] {
  const claim = claimIn(payload, permissions_claim);
  const values: unknown[] = typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim : [];
  const grants = values.flatMap((value) =>
    typeof value === 'string' && Object.hasOwn(mapping, value) ? (mapping[value] ?? []) : [],
  );
  return [...new Set(grants)];
}

function namespaceOf(payload: JWTPayload, { namespace, namespace_claim }: OAuth2): string {
  if (namespace_claim === undefined) return namespace;
  const named = namespaceSchema.safeParse(claimIn(payload, namespace_claim));
  if (!named.success) throw new TokenRefused('the access token names no namespace');
  return named.data;
}

function claimIn(payload: JWTPayload, claim: Claim): unknown {
  const steps = typeof claim === 'string' ? [claim] : claim;
  return steps.reduce<unknown>(
    (node, step) =>
      typeof node === 'object' && node !== null && Object.hasOwn(node, step)
        ? (node as Record<string, unknown>)[step]
        : undefined,
    payload,
  );
}
