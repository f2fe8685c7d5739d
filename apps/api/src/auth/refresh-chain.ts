import { createHmac, randomBytes } from 'node:crypto';

/** For so long a refresh may be retried by who did not get its answer. */
export const RETRY_WINDOW_MS = 10_000;

/** The first refresh token of a session: 256 bits. */
export function firstRefreshToken(): string {
  return `rt_${randomBytes(32).toString('base64url')}`;
}

export function successorSalt(): Buffer {
  return randomBytes(32);
}

/**
 * The token that takes the place of another one. It can be given again to whoever still holds that one, and to nobody else:
 * from what is stored, the hash of the token and the salt, nobody can make it (HMAC-SHA256 with the token as its key).
 */
export function successorOf(token: string, salt: Buffer): string {
  return `rt_${createHmac('sha256', token).update(salt).digest('base64url')}`;
}
