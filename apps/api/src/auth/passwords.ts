import { randomBytes } from 'node:crypto';
import { hash, verify } from '@node-rs/argon2';
import { bulkhead, isBulkheadRejectedError } from 'cockatiel';
import { ApiError } from '../platform/http/api-error.js';

/** OWASP's minimum for argon2id, which is the algorithm that the library takes by default. */
const PARAMETERS = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };
const PREFIX = `$argon2id$v=19$m=${PARAMETERS.memoryCost},t=${PARAMETERS.timeCost},p=${PARAMETERS.parallelism}$`;

/** Hashes take a core each: so many at a time leave the others, and half of libuv's threads, to the cache. */
const AT_A_TIME = 2;
/** Some two seconds of work on a slow machine. */
const MAX_WAITING = 50;
const work = bulkhead(AT_A_TIME, MAX_WAITING);

/** More passwords are to be hashed on this node than it can do in a reasonable time. */
class PasswordsBusy extends ApiError {
  constructor(options: ErrorOptions) {
    const headers = { 'Retry-After': '2' };
    super('SERVICE_OVERLOADED', { reason: 'too many passwords are being checked' }, { ...options, headers });
  }
}

/** @throws ApiError SERVICE_OVERLOADED */
export function hashPassword(password: string): Promise<string> {
  return inTurn(() => hash(password, PARAMETERS));
}

let nobodysHash: Promise<string> | undefined;

/**
 * Checks a password. Does the same work without a hash as with one, so that nobody learns which accounts exist.
 * @throws ApiError SERVICE_OVERLOADED
 */
export function verifyPassword(passwordHash: string | undefined, password: string): Promise<boolean> {
  return inTurn(async () => {
    nobodysHash ??= hash('nobody has this password', PARAMETERS);
    const nobodys = await nobodysHash;
    const matches = await verify(passwordHash ?? nobodys, password);
    return matches && passwordHash !== undefined;
  });
}

/** Whether a hash was made with other parameters than today's. */
export function isOutdated(passwordHash: string): boolean {
  return !passwordHash.startsWith(PREFIX);
}

/** A password for somebody who has given none: 144 bits. */
export function makePassword(): string {
  return randomBytes(18).toString('base64url');
}

async function inTurn<T>(task: () => Promise<T>): Promise<T> {
  try {
    return await work.execute(task);
  } catch (cause) {
    throw isBulkheadRejectedError(cause) ? new PasswordsBusy({ cause }) : cause;
  }
}
