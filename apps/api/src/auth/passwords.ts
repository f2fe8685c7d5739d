import { hash, verify } from '@node-rs/argon2';

/** OWASP's minimum for argon2id, which is the algorithm that the library takes by default. */
const PARAMETERS = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

export function hashPassword(password: string): Promise<string> {
  return hash(password, PARAMETERS);
}

let nobodysHash: Promise<string> | undefined;

/** Checks a password. Takes as long without a hash as with one, so that nobody learns which accounts exist. */
export async function verifyPassword(passwordHash: string | undefined, password: string): Promise<boolean> {
  nobodysHash ??= hashPassword('nobody has this password');
  const matches = await verify(passwordHash ?? (await nobodysHash), password);
  return matches && passwordHash !== undefined;
}
