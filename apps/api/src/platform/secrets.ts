import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type KeyRing, MalformedKeyRing, parseKeyRing } from '@cache-system/cache-engine';
import { z } from 'zod';
import { type Environment, StartRefused } from './env.js';

const keptSchema = z.object({ jwt_secret: z.string().min(32).optional(), encryption_keys: z.string().optional() });
type Kept = z.infer<typeof keptSchema>;

export class Secrets {
  constructor(
    /** Signs the access tokens. Nodes that share users must share it: set JWT_SECRET there. */
    readonly jwtSecret: string,
    /** Encrypts entries. Nodes that share entries must share it: set ENCRYPTION_KEYS. None: nothing is encrypted. */
    readonly encryptionKeys: KeyRing | undefined,
  ) {}
}

/**
 * The secrets from the environment; those not given there are made once and kept in DATA_DIR. In production keys of
 * entries are not made: entries would be lost with the disk of one node.
 */
export function readSecrets({ JWT_SECRET, ENCRYPTION_KEYS, NODE_ENV, DATA_DIR }: Environment): Secrets {
  const path = join(DATA_DIR, 'secrets.json');
  const kept = readKept(path);
  const jwtSecret = JWT_SECRET ?? kept.jwt_secret ?? randomBytes(32).toString('base64');
  const encryptionKeys =
    ENCRYPTION_KEYS ??
    kept.encryption_keys ??
    (NODE_ENV === 'production' ? undefined : `local:${randomBytes(32).toString('base64')}`);
  const toKeep: Kept = {
    ...kept,
    ...(JWT_SECRET === undefined && { jwt_secret: jwtSecret }),
    ...(ENCRYPTION_KEYS === undefined && encryptionKeys !== undefined && { encryption_keys: encryptionKeys }),
  };
  if (JSON.stringify(toKeep) !== JSON.stringify(kept)) {
    writeFileSync(`${path}.new`, JSON.stringify(toKeep), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
  return new Secrets(jwtSecret, encryptionKeys === undefined ? undefined : readKeyRing(encryptionKeys));
}

function readKeyRing(text: string): KeyRing {
  try {
    return parseKeyRing(text);
  } catch (error) {
    if (error instanceof MalformedKeyRing) throw new StartRefused([`ENCRYPTION_KEYS: ${error.message}`]);
    throw error;
  }
}

function readKept(path: string): Kept {
  try {
    return keptSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new StartRefused([
      `DATA_DIR: ${path} is damaged: restore it, or delete it to end all sessions and to lose what is encrypted`,
    ]);
  }
}
