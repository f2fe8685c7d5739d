import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { type Environment, StartRefused } from './env.js';

const secretsSchema = z.object({ jwt_secret: z.string().min(32) });

export class Secrets {
  constructor(
    /** Signs the access tokens. Nodes that share users must share it: set JWT_SECRET there. */
    readonly jwtSecret: string,
  ) {}
}

/** The secrets from the environment; those not given there are made once and kept in DATA_DIR. */
export function readSecrets(environment: Environment): Secrets {
  if (environment.JWT_SECRET !== undefined) return new Secrets(environment.JWT_SECRET);
  const path = join(environment.DATA_DIR, 'secrets.json');
  try {
    return new Secrets(secretsSchema.parse(JSON.parse(readFileSync(path, 'utf8'))).jwt_secret);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new StartRefused([`DATA_DIR: ${path} is damaged: restore it, or delete it to end all sessions`]);
    }
  }
  const jwtSecret = randomBytes(32).toString('base64');
  writeFileSync(path, JSON.stringify({ jwt_secret: jwtSecret }), { mode: 0o600, flag: 'wx' });
  return new Secrets(jwtSecret);
}
