import type { Answer, Client } from './client.js';
import { expectError } from './expectations.js';

/** Asks who a bearer token stands for. */
export function whoIs(client: Client, token: string): Promise<Answer> {
  return client.with({}).get('/v1/auth/me', { headers: { authorization: `Bearer ${token}` } });
}

/** A 401 that tells nothing about what was wrong. */
export function expectTokenRefused(answer: Answer): void {
  expect(expectError(answer, 401, 'AUTHENTICATION_FAILED')).toEqual({
    reason: 'the access token is not valid, or its session has ended',
  });
  expect(answer.headers['www-authenticate']).toBe('Bearer');
}
