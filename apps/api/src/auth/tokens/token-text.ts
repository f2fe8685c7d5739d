import { z } from 'zod';

/** More than any issuer needs; what is longer costs a comparison of lengths. */
const MAX_TOKEN_CHARACTERS = 8192;
/** How far the clocks of those who issue tokens may be ahead of ours. An expiry gets no leeway: a refresh is cheap. */
export const CLOCK_LEEWAY_SECONDS = 10;

const headerSchema = z.object({ alg: z.string(), kid: z.string().min(1), typ: z.string().optional() });
const issuerSchema = z.object({ iss: z.string() });

/** A token as it says of itself: nothing of it is verified. */
export interface UnverifiedToken {
  readonly text: string;
  readonly header: z.infer<typeof headerSchema>;
  readonly issuer: string;
}

/** The token counts for nothing. The message may be told to whoever sent it. */
export class TokenRefused extends Error {
  constructor(message = 'the access token is not valid, or its session has ended', options?: ErrorOptions) {
    super(message, options);
  }
}

export class TokenExpired extends TokenRefused {
  constructor() {
    super('the access token has expired');
  }
}

/**
 * Takes a token apart, before anything is spent on it. There is one spelling of each token: the compact form (RFC 7515
 * §7.1), each part in canonical base64url.
 * @throws TokenRefused
 */
export function readToken(text: string): UnverifiedToken {
  if (text.length > MAX_TOKEN_CHARACTERS) throw new TokenRefused();
  const parts = text.split('.', 4);
  const [header = '', claims = ''] = parts;
  if (parts.length !== 3 || !parts.every(isCanonical)) throw new TokenRefused();
  const { iss } = parse(issuerSchema, claims);
  return { text, header: parse(headerSchema, header), issuer: iss };
}

/**
 * Until when a verified token counts, in seconds since the epoch: until it expires, or until a session would end that was
 * not refreshed since the token was issued.
 * @throws TokenRefused
 */
export function expiryOf({ iat, exp }: { iat: number; exp: number }, sessionTimeoutSeconds: number, at: Date): number {
  const now = at.getTime() / 1000;
  if (iat > now + CLOCK_LEEWAY_SECONDS) throw new TokenRefused();
  const expiry = Math.min(exp, iat + sessionTimeoutSeconds);
  if (expiry <= now) throw new TokenExpired();
  return expiry;
}

function isCanonical(part: string): boolean {
  return part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part;
}

function parse<T>(schema: z.ZodType<T>, part: string): T {
  try {
    return schema.parse(JSON.parse(Buffer.from(part, 'base64url').toString()));
  } catch (cause) {
    throw new TokenRefused(undefined, { cause });
  }
}
