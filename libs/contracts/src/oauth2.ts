import { z } from 'zod';
import { namespaceSchema } from './common.js';
import { grantSchema } from './permissions.js';
import { TIERS } from './rate-limits.js';
import { allowedHostSchema } from './sources.js';

/** The issuer that this service names in its own tokens. */
export const TOKEN_ISSUER = 'cache-system';

/** Signatures that are made with a key that the checker does not have (RFC 7518 §3.1, RFC 8037). */
const ASYMMETRIC_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;

const claimName = z.string().min(1).max(256);
/** A claim, or the way to one inside of others: names hold dots and slashes, so that no text can be split into a way. */
const claimSchema = z.union([claimName, z.array(claimName).min(1).max(8)]);

/** `security.authentication.oauth2`: whose tokens are taken beside those of this service, and what they permit. */
export const oauth2Schema = z
  .strictObject({
    issuer: z
      .string()
      .min(1)
      .max(512)
      .refine((issuer) => issuer !== TOKEN_ISSUER, 'is the name of this service')
      .meta({ description: 'Exactly as tokens have it in `iss`', examples: ['https://login.example/realms/shop'] }),
    audience: z.string().min(1).max(512).meta({ description: 'What tokens must have in, or as, `aud`' }),
    jwks_uri: z
      .url({ protocol: /^https?$/ })
      .max(2048)
      .meta({
        description:
          'Where the issuer publishes its keys: https, or http to a host that `allowed_hosts` names. Redirects are not followed',
      }),
    allowed_hosts: z.array(allowedHostSchema).max(16).default([]).meta({
      description:
        'Hosts, `host:port`s and CIDRs that `jwks_uri` may lead to although their addresses are private, loopback or link-local',
    }),
    algorithms: z.array(z.enum(ASYMMETRIC_ALGORITHMS)).min(1).default(['RS256']),
    typ_required: z.boolean().default(true).meta({
      description: 'Whether the header of a token must have `typ`, `JWT` or `at+jwt`; some issuers leave it out',
    }),
    permissions_claim: claimSchema.default('scope').meta({
      description: 'The claim that is mapped: a text of words or a list. A list of names leads into nested claims',
      examples: [['realm_access', 'roles']],
    }),
    mapping: z.record(claimName, z.array(grantSchema).max(20)).meta({
      description: 'What each value of that claim permits; values that are not here permit nothing',
      examples: [{ 'cache-reader': ['cache:read'] }],
    }),
    namespace: namespaceSchema.default('default'),
    namespace_claim: claimSchema.optional().meta({
      description: 'The claim that names the namespace, instead of `namespace`; a token without it is refused',
    }),
    tier: z.enum(TIERS).optional().meta({ description: '`rate_limits.default_tier` when left out' }),
    jwks_max_age: z
      .number()
      .int()
      .min(1)
      .max(86_400)
      .default(600)
      .meta({ description: 'Seconds after which the keys are fetched again' }),
    jwks_cooldown: z.number().int().min(1).max(3600).default(30).meta({
      description: 'Seconds for which nothing is fetched after a fetch, whatever keys tokens name',
    }),
    jwks_outage_grace: z.number().int().min(0).max(604_800).default(3600).meta({
      description: 'Seconds after `jwks_max_age` in which known keys go on counting while the issuer does not answer',
    }),
  })
  .refine(({ jwks_max_age, jwks_cooldown }) => jwks_cooldown <= jwks_max_age, {
    path: ['jwks_cooldown'],
    error: 'must not be longer than jwks_max_age',
  })
  .superRefine(({ jwks_uri, allowed_hosts }, context) => {
    const { protocol, host, hostname } = new URL(jwks_uri);
    if (protocol === 'https:' || allowed_hosts.some((allowed) => allowed === host || allowed === hostname)) return;
    context.addIssue({ code: 'custom', path: ['jwks_uri'], message: 'must begin with https://' });
  });

export type OAuth2 = z.infer<typeof oauth2Schema>;
export type Claim = z.infer<typeof claimSchema>;

/** Public keys (RFC 7517 §5). */
export const jwkSetSchema = z
  .object({
    keys: z.array(
      z.looseObject({
        kty: z.string(),
        kid: z.string(),
        alg: z.enum(['RS256', 'EdDSA']),
        use: z.literal('sig'),
      }),
    ),
  })
  .meta({ id: 'JwkSet' });
export type JwkSet = z.infer<typeof jwkSetSchema>;
