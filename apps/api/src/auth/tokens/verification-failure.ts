import { errors } from 'jose';
import { TokenExpired, TokenRefused } from './token-text.js';

/**
 * What a failed verification comes to. Whatever the library stumbles over in a token is the fault of the token.
 * @throws TokenRefused
 */
export function verificationFailure(cause: unknown): never {
  if (cause instanceof errors.JWTExpired) throw new TokenExpired();
  throw new TokenRefused(undefined, { cause });
}
