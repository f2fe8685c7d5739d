import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type KeyRing, MalformedKeyRing, parseKeyRing } from '@cache-system/cache-engine';
import { z } from 'zod';
import { type Environment, StartRefused } from './env.js';
import { type TokenKeys, tokenKeys } from './token-keys.js';

const keptSchema = z.object({ jwt_secret: z.string().min(32).optional(), encryption_keys: z.string().optional() });
type Kept = z.infer<typeof keptSchema>;

export class Secrets {
  constructor(
    /** Of the access tokens. Nodes that share users must share them: set JWT_SECRET or JWT_KEYS_FILE there. */
    readonly tokenKeys: TokenKeys,
    /** Encrypts entries. Nodes that share entries must share it: set ENCRYPTION_KEYS. None: nothing is encrypted. */
    readonly encryptionKeys: KeyRing | undefined,
  ) {}
}

/**
 * The secrets from the environment; those not given there are made once and kept in DATA_DIR, except in production: the
 * disk of one node is no place for what all nodes need, nor for what nobody has chosen.
 * @throws StartRefused
 */
export function readSecrets(environment: Environment): Secrets {
  const { JWT_SECRET, JWT_ACCEPTED_SECRETS = [], JWT_KEYS_FILE, ENCRYPTION_KEYS, NODE_ENV, DATA_DIR } = environment;
  const path = join(DATA_DIR, 'secrets.json');
  const kept = readKept(path);
  const isProduction = NODE_ENV === 'production';
  if (isProduction && ENCRYPTION_KEYS === undefined && kept.encryption_keys !== undefined) {
    throw new StartRefused([
      `ENCRYPTION_KEYS: is required in production, as entries are encrypted with keys that were made in ${path}: set it to what "encryption_keys" is there, or delete the file to lose those entries`,
    ]);
  }
  if (isProduction && ENCRYPTION_KEYS !== undefined && kept.encryption_keys !== undefined) {
    const given = ENCRYPTION_KEYS.split(',');
    if (!kept.encryption_keys.split(',').every((key) => given.includes(key))) {
      throw new StartRefused([
        `ENCRYPTION_KEYS: lacks keys that were made in ${path}, with which entries are encrypted: put what "encryption_keys" is there behind your own, with a comma between, or delete the file to lose those entries`,
      ]);
    }
  }
  const madeSecret = isProduction || JWT_KEYS_FILE !== undefined ? undefined : randomBytes(32).toString('base64');
  const jwtSecret = JWT_SECRET ?? (isProduction ? undefined : kept.jwt_secret) ?? madeSecret;
  const encryptionKeys =
    ENCRYPTION_KEYS ??
    kept.encryption_keys ??
    (isProduction ? undefined : `local:${randomBytes(32).toString('base64')}`);
  const toKeep: Kept = {
    ...kept,
    ...(JWT_SECRET === undefined && jwtSecret !== undefined && { jwt_secret: jwtSecret }),
    ...(ENCRYPTION_KEYS === undefined && encryptionKeys !== undefined && { encryption_keys: encryptionKeys }),
  };
  if (JSON.stringify(toKeep) !== JSON.stringify(kept)) {
    writeFileSync(`${path}.new`, JSON.stringify(toKeep), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
  const secrets = [...(jwtSecret === undefined ? [] : [jwtSecret]), ...JWT_ACCEPTED_SECRETS];
  return new Secrets(
    tokenKeys(secrets, JWT_KEYS_FILE),
    encryptionKeys === undefined ? undefined : readKeyRing(encryptionKeys),
  );
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
